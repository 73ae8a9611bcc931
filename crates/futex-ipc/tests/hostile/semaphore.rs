//! A semaphore.

use crate::victim::{Kit, Play};
use futex_ipc::{Region, Semaphore, SemaphorePermit};
use std::io;
use std::sync::Arc;

pub(crate) struct Permits(Arc<Semaphore>);

fn end(play: &Play, mut permit: SemaphorePermit<'_>) {
    match play.chance.below(8) {
        0 => permit.forget(),
        1..=3 => {
            let n = play.chance.below(4) as u32;
            if let Some(part) = permit.split(n) {
                drop(permit);
                drop(part);
            }
        }
        _ => {}
    }
}

impl Kit for Permits {
    fn open(region: &Region) -> io::Result<Self> {
        let semaphore = Semaphore::open_or_create(region, "permits", 3)?;
        Ok(Self(semaphore.into()))
    }

    async fn round(&self, play: &Play) {
        let Self(semaphore) = self;
        let n = 1 + play.chance.below(3) as u32;
        match play.chance.below(6) {
            0 | 1 => {
                let Some(permit) = play.value(semaphore.acquire_many(n).await) else { return };
                play.chance.dawdles().await;
                end(play, permit);
            }
            2 => drop(play.value(semaphore.clone().acquire_owned().await)),
            3 => drop(play.value(semaphore.try_acquire_many(n))),
            4 => drop(play.value(semaphore.add_permits(n))),
            _ => {
                let _ = (play.value(semaphore.available_permits()), play.value(semaphore.capacity()));
            }
        }
    }

    fn blocking_round(&self, play: &Play) {
        let Self(semaphore) = self;
        let n = 1 + play.chance.below(3) as u32;
        let permit = match play.chance.below(4) {
            0 => play.value(semaphore.try_acquire_many(n)).flatten(),
            1 => play.value(semaphore.blocking_acquire_deadline(play.chance.deadline())),
            2 => play.value(semaphore.blocking_acquire_many_deadline(n, play.chance.deadline())),
            _ => {
                play.value(semaphore.add_permits(1));
                None
            }
        };
        if let Some(permit) = permit {
            play.chance.blocks();
            end(play, permit);
        }
    }
}
