//! The waits of the members of a region that is inspected.

use super::reader::{MemberId, offset_of_low_half};
use crate::format::Layout;
use crate::information::Information;
use crate::steps;
use crate::waits::oldest::Noted;
use std::time::Duration;

/// A wait of a member, as the member has recorded it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct MemberWait {
    /// The member.
    pub member: MemberId,
    /// The offset of the futex word, in bytes, as in [`sleep_words`](super::Inspection::sleep_words).
    pub offset: usize,
    /// Time from the boot of the system to the first record of the wait (`CLOCK_BOOTTIME`), in whole seconds. A member records its waits
    /// once a second, so this may be about a second after the wait began.
    pub since: Duration,
}

/// Returns the waits of a member, the oldest one first.
pub(super) fn of(member: steps::Member, information: &Information, layout: Layout) -> Vec<MemberWait> {
    let noted = information.waits.iter().filter_map(|&word| Noted::from_word(word));
    let mut noted: Vec<_> = noted.filter(|wait| wait.place.0 < layout.len).collect();
    noted.sort();
    let steps::Member { slot, generation } = member;
    let wait = |Noted { since, place }: Noted| MemberWait {
        member: MemberId { slot, generation },
        offset: offset_of_low_half(place),
        since: Duration::from_secs(since.into()),
    };
    noted.into_iter().map(wait).collect()
}
