//! What a child of `fork` may do with what its parent made.
#![expect(unsafe_code, reason = "fork")]

use futex_sys::Origin;

/// Runs `child` in a fork of this process and returns its bits, of which there are at most seven.
///
/// Other threads of this process are gone there, and what they locked stays locked; glibc keeps the allocator usable.
fn forked(child: impl FnOnce() -> u8) -> u8 {
    // SAFETY: The child calls what the closure calls and then `_exit`, which runs nothing of this process's.
    match unsafe { libc::fork() } {
        -1 => panic!("cannot fork: {}", std::io::Error::last_os_error()),
        0 => {
            let bits = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(0x80);
            // SAFETY: It has no obligation.
            unsafe { libc::_exit(bits.into()) }
        }
        pid => {
            let mut status = 0;
            // SAFETY: The status is ours to be written, and the child is ours and not waited for yet.
            assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
            assert!(libc::WIFEXITED(status), "the child was killed: {status:#x}");
            u8::try_from(libc::WEXITSTATUS(status)).expect("an exit status has eight bits")
        }
    }
}

/// `true` at index n sets bit n.
fn bits(all: &[bool]) -> u8 {
    all.iter().enumerate().fold(0, |bits, (index, &set)| bits | u8::from(set) << index)
}

#[test]
fn an_origin_tells_a_fork_from_its_parent() {
    let parent = Origin::here();
    assert!(parent.is_here());
    let seen = forked(|| {
        let foreign = !parent.is_here();
        let child = Origin::here();
        let native = child.is_here() && Origin::here().is_here();
        bits(&[foreign, native, !parent.is_here()])
    });
    assert_eq!(seen, 0b111);
    assert!(parent.is_here() && Origin::here().is_here());
}

#[test]
fn a_grandchild_is_told_from_its_parent_and_its_grandparent() {
    let first = Origin::here();
    let seen = forked(|| {
        let second = Origin::here();
        let of_grandchild = forked(|| {
            let third = Origin::here();
            bits(&[!first.is_here(), !second.is_here(), third.is_here()])
        });
        bits(&[of_grandchild == 0b111, second.is_here()])
    });
    assert_eq!(seen, 0b11);
}

#[cfg(feature = "uring")]
#[test]
fn a_forked_child_is_refused_and_leaves_its_parents_ring_alone() {
    use crate::support::{arm, complete, ring, word};
    use futex_sys::futex::MATCH_ANY;
    use futex_sys::uring::Ending;

    let Some(mut ring) = ring() else { return };
    let [word, second] = [word(), word()];
    arm(&mut ring, 0, &word);
    arm(&mut ring, 1, &second);
    assert_eq!(second.wake(1), 1); // a completion waits, and is not the child's

    let mut ring = Some(ring);
    let seen = forked(|| {
        let mut copy = ring.take().expect("a copy of the ring");
        let refused = |result: std::io::Result<()>| {
            result.is_err_and(|error| {
                error.kind() == std::io::ErrorKind::Unsupported
                    && error.to_string()
                        == "this io_uring belongs to the process that this one was forked from: open another one here"
            })
        };
        let all = [
            refused(copy.arm(2, word.clone(), 0, MATCH_ANY)),
            refused(copy.cancel(0)),
            refused(copy.submit()),
            refused(copy.wait()),
            copy.next_completion().is_none(),
            copy.pending() == 2,
        ];
        let mut closed = 0;
        copy.close(|_| closed += 1);
        drop(copy);
        bits(&[all.iter().all(|&right| right), closed == 0])
    });
    assert_eq!(seen, 0b11);

    // The parent's waits are as they were.
    let mut ring = ring.take().expect("the fork took its copy, not this");
    let completion = complete(&mut ring);
    assert!(completion.id == 1 && matches!(completion.ending, Ending::Woken), "{completion:?}");
    assert_eq!(word.wake(1), 1);
    let completion = complete(&mut ring);
    assert!(completion.id == 0 && matches!(completion.ending, Ending::Woken), "{completion:?}");
}

#[cfg(feature = "uring")]
#[test]
fn a_forked_child_can_open_a_ring_of_its_own() {
    use crate::support::{ring, word};
    use futex_sys::futex::MATCH_ANY;
    use futex_sys::uring::{Ending, FutexRing};

    if ring().is_none() {
        return;
    }
    let seen = forked(|| {
        let Ok(mut ring) = FutexRing::new() else { return 0 };
        let word = word();
        let armed = ring.arm(0, word.clone(), 0, MATCH_ANY).is_ok() && ring.submit().is_ok();
        let woken = word.wake(1) == 1 && ring.wait().is_ok();
        let ending = ring.next_completion().map(|completion| completion.ending);
        bits(&[armed, woken, matches!(ending, Some(Ending::Woken))])
    });
    assert_eq!(seen, 0b111);
}
