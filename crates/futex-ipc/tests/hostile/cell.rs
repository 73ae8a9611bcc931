//! A cell that is initialised once, over and over, because its words are overwritten.

use crate::victim::{Kit, Play};
use futex_ipc::{OnceCell, Region};
use std::io;

pub(crate) struct Cell(OnceCell<[u16; 7]>);

impl Kit for Cell {
    fn open(region: &Region) -> io::Result<Self> {
        OnceCell::open_or_create(region, "cell").map(Self)
    }

    async fn round(&self, play: &Play) {
        let Self(cell) = self;
        match play.chance.below(5) {
            0 | 1 => {
                let init = || async {
                    play.chance.dawdles().await;
                    [1; 7]
                };
                play.value(cell.get_or_init(init).await);
            }
            2 => {
                let init = async || Err(io::Error::from(io::ErrorKind::NotFound));
                play.value(cell.get_or_try_init(init).await);
            }
            3 => drop(play.value(cell.get())),
            _ => drop(play.value(cell.set([2; 7]))),
        }
    }

    fn blocking_round(&self, play: &Play) {
        let Self(cell) = self;
        let init = || {
            play.chance.blocks();
            [3; 7]
        };
        match play.chance.below(4) {
            0 => drop(play.value(cell.try_get_or_init(init))),
            1 => drop(play.value(cell.set([4; 7]))),
            2 => drop(play.value(cell.get())),
            _ => drop(play.value(cell.blocking_get_or_init_deadline(init, play.chance.deadline()))),
        }
    }
}
