//! Events and a barrier.

use crate::victim::{Kit, Play};
use futex_ipc::{AutoEvent, Barrier, ManualEvent, Region};
use std::io;

pub(crate) struct Events {
    manual: ManualEvent,
    automatic: AutoEvent,
    barrier: Barrier,
}

impl Events {
    /// An operation that never waits.
    fn one(&self, play: &Play) {
        let Self { manual, automatic, barrier } = self;
        let _ = match play.chance.below(7) {
            0 => play.value(manual.set()),
            1 => play.value(manual.reset()),
            2 => play.value(manual.is_set()),
            3 => play.value(automatic.set()),
            4 => play.value(automatic.is_set()),
            5 => play.value(automatic.try_wait()),
            _ => {
                let Some(mut participant) = play.value(barrier.attach()) else { return };
                play.value(participant.try_arrive_and_wait()).map(|result| result.is_some())
            }
        };
    }
}

impl Kit for Events {
    fn open(region: &Region) -> io::Result<Self> {
        Ok(Self {
            manual: ManualEvent::open_or_create(region, "manual")?,
            automatic: AutoEvent::open_or_create(region, "automatic")?,
            barrier: Barrier::open_or_create(region, "barrier")?,
        })
    }

    async fn round(&self, play: &Play) {
        match play.chance.below(6) {
            0 => drop(play.value(self.manual.wait().await)),
            1 => drop(play.value(self.automatic.wait().await)),
            2 => {
                let Some(mut participant) = play.value(self.barrier.attach()) else { return };
                for _ in 0..1 + play.chance.below(3) {
                    play.value(participant.arrive_and_wait().await);
                }
            }
            _ => self.one(play),
        }
    }

    fn blocking_round(&self, play: &Play) {
        match play.chance.below(6) {
            0 => drop(play.value(self.manual.blocking_wait_deadline(play.chance.deadline()))),
            1 => drop(play.value(self.automatic.blocking_wait_deadline(play.chance.deadline()))),
            2 => {
                let Some(mut participant) = play.value(self.barrier.attach()) else { return };
                play.value(participant.blocking_arrive_and_wait_deadline(play.chance.deadline()));
            }
            _ => self.one(play),
        }
    }
}
