//! A condition variable, with its mutex.

use crate::victim::{Kit, Play};
use futex_ipc::{Condvar, Mutex, Region};
use std::io;
use std::sync::Arc;

pub(crate) struct Condition {
    mutex: Arc<Mutex<u64>>,
    condvar: Condvar,
}

impl Condition {
    fn notify(&self, play: &Play) {
        play.value(if play.chance.below(2) == 0 { self.condvar.notify_one() } else { self.condvar.notify_all() });
    }
}

impl Kit for Condition {
    fn open(region: &Region) -> io::Result<Self> {
        let mutex = Mutex::open_or_create(region, "mutex", 0)?;
        Ok(Self { mutex: mutex.into(), condvar: Condvar::open_or_create(region, "condvar")? })
    }

    async fn round(&self, play: &Play) {
        let Self { mutex, condvar } = self;
        match play.chance.below(4) {
            0 => self.notify(play),
            1 => {
                let Some(guard) = play.value(mutex.clone().lock_owned().await) else { return };
                play.value(condvar.wait(guard).await);
            }
            2 => {
                let Some(guard) = play.value(mutex.lock().await) else { return };
                play.value(condvar.wait_while(guard, |_| true).await);
            }
            _ => {
                let Some(guard) = play.value(mutex.lock().await) else { return };
                play.value(condvar.wait_while(guard, |value| value.is_power_of_two()).await);
            }
        }
    }

    fn blocking_round(&self, play: &Play) {
        let Self { mutex, condvar } = self;
        if play.chance.below(3) == 0 {
            return self.notify(play);
        }
        let Some(guard) = play.value(mutex.blocking_lock_deadline(play.chance.deadline())) else { return };
        let deadline = play.chance.deadline();
        play.value(match play.chance.below(2) {
            0 => condvar.blocking_wait_deadline(guard, deadline),
            _ => condvar.blocking_wait_while_deadline(guard, |_| true, deadline),
        });
    }
}
