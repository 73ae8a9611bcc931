//! The directory, the table of members, joins and leaves.

use crate::children;
use crate::victim::{Kit, Play};
use futex_ipc::{Mutex, Region};
use std::io;

pub(crate) struct Directory {
    region: Region,
}

impl Directory {
    /// Any operation that never waits, except for another one that adds an object.
    fn one(&self, play: &Play) {
        let Self { region } = self;
        let name = format!("object {}", play.chance.below(6));
        match play.chance.below(8) {
            0 => drop(play.value(Mutex::<u64>::create(region, &name, 1))),
            1 => drop(play.value(Mutex::<u64>::open_or_create(region, &name, 1))),
            2 => drop(play.value(Mutex::<[u8; 100]>::open_or_create(region, &name, [1; 100]))),
            3 | 4 => drop(play.value(Mutex::<u64>::open(region, &name))),
            5 => drop(play.value(Region::builder().label("another attachment").from_fd(children::file(0)))),
            _ => {
                let Some(mutex) = play.value(Mutex::<u64>::open(region, &name)) else { return };
                drop(play.value(mutex.try_lock()));
            }
        }
    }
}

impl Kit for Directory {
    fn open(region: &Region) -> io::Result<Self> {
        Mutex::open_or_create(region, "object 0", 1_u64)?;
        Ok(Self { region: region.clone() })
    }

    async fn round(&self, play: &Play) {
        self.one(play);
        play.chance.dawdles().await;
    }

    fn blocking_round(&self, play: &Play) {
        self.one(play);
    }
}
