//! Mutexes.

use crate::victim::{Kit, Play};
use futex_ipc::{Mutex, MutexGuard, Region};
use std::io;
use std::sync::Arc;

pub(crate) struct Mutexes {
    value: Arc<Mutex<[u64; 5]>>,
    unit: Arc<Mutex<()>>,
}

fn end(play: &Play, mut guard: MutexGuard<'_, [u64; 5]>) {
    let part = play.chance.below(5);
    guard[part] = guard[part].wrapping_add(1);
    match play.chance.below(5) {
        0 => guard.commit(),
        1 => guard.checkpoint(),
        2 => guard.settle(),
        _ => {}
    }
}

impl Kit for Mutexes {
    fn open(region: &Region) -> io::Result<Self> {
        let value = Mutex::open_or_create(region, "value", [1; 5])?;
        let unit = Mutex::open_or_create(region, "unit", ())?;
        Ok(Self { value: value.into(), unit: unit.into() })
    }

    async fn round(&self, play: &Play) {
        let Self { value, unit } = self;
        match play.chance.below(4) {
            0 => {
                let Some(guard) = play.value(value.lock().await) else { return };
                play.chance.dawdles().await;
                end(play, guard);
            }
            1 => drop(play.value(value.update(|value| value.rotate_left(1)).await)),
            2 => {
                let Some(guard) = play.value(unit.clone().lock_owned().await) else { return };
                play.chance.dawdles().await;
                drop(guard);
            }
            _ => drop(play.value(unit.try_lock())),
        }
    }

    fn blocking_round(&self, play: &Play) {
        let guard = match play.chance.below(3) {
            0 => play.value(self.value.try_lock()).flatten(),
            _ => play.value(self.value.blocking_lock_deadline(play.chance.deadline())),
        };
        if let Some(guard) = guard {
            play.chance.blocks();
            end(play, guard);
        }
        if let Some(guard) = play.value(self.unit.blocking_lock_deadline(play.chance.deadline())) {
            play.chance.blocks();
            drop(guard);
        }
    }
}
