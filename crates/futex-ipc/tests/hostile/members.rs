//! The table of members, and the stream of its changes.

use crate::children;
use crate::victim::{Kit, Play};
use futex_ipc::{Member, MemberEvent, MemberEvents, Region};
use std::io;
use tokio::sync::Mutex;

pub(crate) struct Members {
    region: Region,
    /// Each round takes one of the streams.
    streams: [Mutex<MemberEvents>; 4],
}

fn use_member(member: &Member) {
    // What the table says has any value, also the text.
    std::hint::black_box((format!("{member:?}"), member.label().len(), member.process().map(|id| id.to_words())));
}

fn use_event(event: &MemberEvent) {
    if let MemberEvent::Joined(member) | MemberEvent::Left(member) | MemberEvent::Died(member) = event {
        use_member(member);
    }
}

impl Members {
    fn one(&self, play: &Play) {
        match play.chance.below(4) {
            0 => drop(play.value(Region::builder().label("another attachment").from_fd(children::file(0)))),
            1 => drop(play.value(self.region.watch_members())),
            2 => drop(self.region.stats()),
            _ => {
                for member in play.value(self.region.members()).unwrap_or_default() {
                    use_member(&member);
                }
            }
        }
    }
}

impl Kit for Members {
    fn open(region: &Region) -> io::Result<Self> {
        let stream = || region.watch_members().map(Mutex::new);
        Ok(Self { region: region.clone(), streams: [stream()?, stream()?, stream()?, stream()?] })
    }

    async fn round(&self, play: &Play) {
        let mut stream = self.streams[play.chance.below(4)].lock().await;
        match play.chance.below(3) {
            0 => self.one(play),
            1 => {
                if let Some(event) = play.value(stream.try_next()).flatten() {
                    use_event(&event);
                }
            }
            _ => {
                if let Some(event) = play.value(stream.next().await) {
                    use_event(&event);
                }
            }
        }
        play.chance.dawdles().await;
    }

    fn blocking_round(&self, play: &Play) {
        if play.chance.below(3) == 0 {
            return self.one(play);
        }
        let Ok(mut stream) = self.streams[play.chance.below(4)].try_lock() else { return };
        if let Some(event) = play.value(stream.blocking_next_deadline(play.chance.deadline())).flatten() {
            use_event(&event);
        }
    }
}
