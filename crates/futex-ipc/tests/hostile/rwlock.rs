//! A read-write lock.

use crate::victim::{Kit, Play};
use futex_ipc::{Region, RwLock, RwLockWriteGuard};
use std::io;
use std::sync::Arc;

pub(crate) struct ReadWrite(Arc<RwLock<[u32; 5]>>);

fn end(play: &Play, mut guard: RwLockWriteGuard<'_, [u32; 5]>) {
    let part = play.chance.below(5);
    guard[part] = guard[part].wrapping_add(1);
    match play.chance.below(5) {
        0 => guard.commit(),
        1 => guard.checkpoint(),
        2 => guard.settle(),
        _ => {}
    }
}

impl Kit for ReadWrite {
    fn open(region: &Region) -> io::Result<Self> {
        RwLock::open_or_create(region, "lock", [1; 5]).map(|lock| Self(lock.into()))
    }

    async fn round(&self, play: &Play) {
        let Self(lock) = self;
        match play.chance.below(6) {
            0 => {
                let Some(guard) = play.value(lock.write().await) else { return };
                play.chance.dawdles().await;
                end(play, guard);
            }
            1 => drop(play.value(lock.update(|value| value.rotate_left(1)).await)),
            2 => {
                let Some(guard) = play.value(lock.clone().read_owned().await) else { return };
                play.chance.dawdles().await;
                drop(guard);
            }
            3 => drop(play.value(lock.clone().write_owned().await)),
            4 => drop(play.value(lock.try_read())),
            _ => drop(play.value(lock.try_write())),
        }
    }

    fn blocking_round(&self, play: &Play) {
        let Self(lock) = self;
        match play.chance.below(4) {
            0 => drop(play.value(lock.try_read())),
            1 => drop(play.value(lock.try_write())),
            2 => {
                let Some(guard) = play.value(lock.blocking_read_deadline(play.chance.deadline())) else { return };
                play.chance.blocks();
                drop(guard);
            }
            _ => {
                let Some(guard) = play.value(lock.blocking_write_deadline(play.chance.deadline())) else { return };
                play.chance.blocks();
                end(play, guard);
            }
        }
    }
}
