use super::*;
use crate::Mutex;
use crate::steps::member::LIVE;
use futex_tests::{until, without_a_hang};
use std::io::ErrorKind;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

fn join(region: &Region, label: &str) -> Region {
    Region::builder().label(label).from_fd(region.share().unwrap()).unwrap()
}

/// Returns when a slot is free again.
fn until_free(region: &Region, slot: u32) {
    until(|| low(region.membership().slot(slot, Relaxed)) == FREE);
}

fn label(event: MemberEvent) -> (&'static str, String) {
    let (what, member) = match event {
        MemberEvent::Joined(member) => ("joined", member),
        MemberEvent::Left(member) => ("left", member),
        MemberEvent::Died(member) => ("died", member),
        event => panic!("{event:?}"),
    };
    assert!(what == "joined" || !member.is_alive(), "{member:?}");
    (what, member.label)
}

/// Returns all pending events.
fn events(stream: &mut MemberEvents) -> Vec<MemberEvent> {
    std::iter::from_fn(|| stream.try_next().unwrap()).collect()
}

fn labels(stream: &mut MemberEvents) -> Vec<(&'static str, String)> {
    events(stream).into_iter().map(label).collect()
}

fn pairs<const N: usize>(expected: [(&'static str, &str); N]) -> Vec<(&'static str, String)> {
    expected.map(|(what, label)| (what, label.to_owned())).to_vec()
}

#[test]
fn the_members_are_listed_with_what_they_say_of_themselves() {
    let region = Region::builder().label("first").anonymous().unwrap();
    let gap = join(&region, "gap");
    let other = join(&region, "other");
    drop(gap);
    let members = other.members().unwrap();
    let seen: Vec<_> = members.iter().map(|member| (member.slot(), member.label(), member.is_me())).collect();
    assert_eq!(seen, [(0, "first", false), (2, "other", true)]);
    let here = Some(ProcessId::current().unwrap());
    assert!(members.iter().all(|member| member.is_alive() && member.generation() == 1 && member.process() == here));
}

#[test]
fn a_member_that_died_and_is_not_swept_is_listed_as_dead() {
    without_a_hang(|| {
        let region = Region::builder().anonymous().unwrap();
        let other = join(&region, "other");
        let busy = region.presence().keep_watcher_busy();
        other.die();
        let members = region.members().unwrap();
        assert_eq!(members.len(), 2);
        assert!(!members[1].is_alive() && members[1].label() == "other", "{members:?}");
        drop(busy);
        until(|| region.members().unwrap().len() == 1);
    });
}

#[test]
fn a_stream_reports_joins_leaves_and_deaths() {
    without_a_hang(|| {
        let region = Region::builder().anonymous().unwrap();
        let first = join(&region, "first");
        let mut stream = region.watch_members().unwrap();
        assert_eq!(labels(&mut stream), pairs([("joined", "first")]));
        assert_eq!(stream.try_next().unwrap(), None);
        let second = join(&region, "second");
        assert_eq!(labels(&mut stream), pairs([("joined", "second")]));
        drop(first);
        assert_eq!(labels(&mut stream), pairs([("left", "first")]));
        second.die();
        assert_eq!(label(stream.blocking_next().unwrap()), ("died", "second".to_owned()));
        until_free(&region, 2);
        assert_eq!(stream.try_next().unwrap(), None);
    });
}

/// The story: the member left with its last handle although it had a stream, and then the stream did not report a death.
#[test]
fn a_stream_belongs_to_the_region_like_a_clone_of_it() {
    without_a_hang(|| {
        let region = Region::builder().anonymous().unwrap();
        let other = join(&region, "other");
        let mut stream = region.watch_members().unwrap();
        assert_eq!(labels(&mut stream), pairs([("joined", "other")]));
        drop(region);
        assert_eq!(other.members().unwrap().len(), 2);
        let shared = other.share().unwrap();
        other.die();
        assert_eq!(label(stream.blocking_next().unwrap()), ("died", "other".to_owned()));
        drop(stream);
        let last = Region::builder().from_fd(shared).unwrap();
        assert_eq!(last.members().unwrap().len(), 1);
    });
}

#[test]
fn a_stream_reports_a_member_that_came_and_went_between_two_calls() {
    without_a_hang(|| {
        let region = Region::builder().anonymous().unwrap();
        let mut stream = region.watch_members().unwrap();
        drop(join(&region, "left"));
        assert_eq!(labels(&mut stream), pairs([("joined", "left"), ("left", "left")]));
        join(&region, "died").die();
        until_free(&region, 2);
        assert_eq!(labels(&mut stream), pairs([("joined", "died"), ("died", "died")]));
    });
}

#[test]
fn the_end_of_each_member_is_known_after_others_had_its_slot() {
    without_a_hang(|| {
        for dies in [false, true] {
            let region = Region::builder().members(2).anonymous().unwrap();
            let mut stream = region.watch_members().unwrap();
            let first = join(&region, "first");
            assert_eq!(labels(&mut stream), pairs([("joined", "first")]));
            let end = |member: Region, dies| {
                if dies {
                    member.die();
                } else {
                    drop(member);
                }
                until_free(&region, 1);
            };
            end(first, dies);
            (0..3).for_each(|_| end(join(&region, "missed"), !dies));
            let _last = join(&region, "last");
            let all = events(&mut stream);
            assert_eq!(all[0], MemberEvent::Missed(3));
            let what = if dies { "died" } else { "left" };
            let others: Vec<_> = all.into_iter().skip(1).map(label).collect();
            assert_eq!(others, pairs([(what, "first"), ("joined", "last")]));
        }
    });
}

/// The story: a process that was killed and started again got the slot of its predecessor, and overwrote the information about it.
#[test]
fn a_member_that_is_replaced_stays_known_until_each_slot_was_used() {
    without_a_hang(|| {
        let region = Region::builder().members(4).anonymous().unwrap();
        join(&region, "died").die();
        until_free(&region, 1);
        let died = steps::Member { slot: 1, generation: 1 };
        for slot in [2, 3] {
            let next = join(&region, "next");
            assert_eq!(next.membership().me().slot, slot);
            drop(next);
            assert_eq!(Member::named(region.membership(), died).unwrap().label(), "died");
        }
        let again = join(&region, "again");
        assert_eq!(
            again.membership().me(),
            steps::Member { slot: 1, generation: 2 },
            "the slot of the living is left out"
        );
        // Any member can write any value into the word.
        region.membership().store(Header::NEXT, u64::MAX, Relaxed);
        assert_eq!(join(&region, "last").membership().me().slot, 3);
    });
}

#[test]
fn a_slot_that_is_used_for_the_65th_time_forgets_an_old_death() {
    without_a_hang(|| {
        let region = Region::builder().members(2).anonymous().unwrap();
        join(&region, "died").die();
        until_free(&region, 1);
        let old = steps::Member { slot: 1, generation: 1 };
        (0..63).for_each(|_| drop(join(&region, "left")));
        assert!(region.membership().has_died(old));
        drop(join(&region, "left"));
        assert!(!region.membership().has_died(old));
        let same_bit = steps::Member { slot: 1, generation: 65 };
        assert!(!region.membership().has_died(same_bit), "the member with the same bit left");
    });
}

#[test]
fn a_member_that_has_not_announced_itself_is_reported_once_it_has() {
    let region = Region::builder().anonymous().unwrap();
    let mut stream = region.watch_members().unwrap();
    let other = join(&region, "other");
    // As if it had stopped before it wrote its information.
    let described = Place(region.membership().layout().slot(1).0 + 2);
    assert_eq!(region.membership().load(described, Relaxed), 1);
    region.membership().store(described, 0, Relaxed);
    assert_eq!(events(&mut stream), []);
    region.membership().store(described, 1, Relaxed);
    other.membership().announce();
    assert_eq!(labels(&mut stream), pairs([("joined", "other")]));
}

#[test]
fn a_stream_survives_a_table_of_random_words() {
    let region = Region::builder().members(4).anonymous().unwrap();
    let mut stream = region.watch_members().unwrap();
    let busy = region.presence().keep_watcher_busy();
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..10_000 {
        for slot in 1..4 {
            let state = random.u32(..4);
            let word = steps::halves(random.u32(..), state.min(LIVE + 1));
            region.membership().store(region.membership().layout().slot(slot), word, Relaxed);
        }
        region.membership().announce();
        assert!(events(&mut stream).len() <= 10);
        region.members().unwrap();
    }
    for slot in 1..4 {
        region.membership().store(region.membership().layout().slot(slot), 0, Relaxed);
    }
    drop(busy);
}

#[test]
fn a_stream_ends_with_its_region() {
    without_a_hang(|| {
        let region = Region::builder().anonymous().unwrap();
        let mut stream = region.watch_members().unwrap();
        let waits = region.membership().waits().clone();
        let reader = std::thread::spawn(move || stream.blocking_next().unwrap_err().kind());
        until(|| waits.len() == 1);
        region.close();
        assert_eq!(reader.join().unwrap(), ErrorKind::BrokenPipe);
        assert_eq!(region.members().unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_stream_gives_up_at_its_deadline() {
    let region = Region::builder().anonymous().unwrap();
    let mut stream = region.watch_members().unwrap();
    let deadline = Deadline::after(Duration::from_millis(1));
    assert_eq!(stream.blocking_next_deadline(deadline).unwrap(), None);
    let _other = join(&region, "other");
    assert!(stream.blocking_next_deadline(deadline).unwrap().is_some(), "pending events are returned at once");
}

#[cfg(feature = "tokio")]
#[test]
fn a_task_gets_the_events_and_may_give_up_waiting_for_one() {
    futex_tests::on_each_runtime(async || {
        let region = Region::builder().members(2).anonymous().unwrap();
        let mut stream = region.watch_members().unwrap();
        for round in 0..20 {
            let mut wait = Box::pin(stream.next());
            futex_tests::arm(&mut wait).await;
            drop(wait);
            let other = join(&region, "other");
            assert_eq!(label(futex_tests::within(stream.next()).await.unwrap()).0, "joined");
            if round % 2 == 0 {
                other.die();
            } else {
                drop(other);
            }
            let end = label(futex_tests::within(stream.next()).await.unwrap()).0;
            assert_eq!(end, if round % 2 == 0 { "died" } else { "left" });
            until_free(&region, 1);
        }
    });
}

/// On the backends with threads, a wait that was dropped may be in the kernel a little longer. The process ended, and the wake that this
/// wait had consumed was lost: nobody swept, because the member had left. Others slept on a free mutex until the recheck.
#[test]
fn a_member_that_has_waited_wakes_all_when_it_leaves() {
    without_a_hang(|| {
        let region = Region::builder().anonymous().unwrap();
        let mutex = Mutex::create(&region, "mutex", ()).unwrap();
        let other = join(&region, "other");
        let theirs = Mutex::<()>::open(&other, "mutex").unwrap();
        let guard = mutex.blocking_lock().unwrap();
        assert_eq!(theirs.blocking_lock_deadline(Instant::now()).unwrap_err().kind(), ErrorKind::TimedOut);
        let word = region.membership().word(mutex.word()).unwrap();
        let sleeper = std::thread::spawn({
            let word = word.clone();
            move || word.wait(word.load(Relaxed), Some(Duration::from_secs(50))).unwrap()
        });
        futex_tests::until_waiters(&word, 1);
        drop((theirs, other));
        assert_eq!(sleeper.join().unwrap(), futex_sys::WaitOutcome::Woken);
        drop(guard);
    });
}

#[test]
fn a_member_knows_itself() {
    let region = Region::builder().label("first").anonymous().unwrap();
    let other = Region::builder().label("second").from_fd(region.share().unwrap()).unwrap();
    let me = other.me().unwrap();
    assert!(me.is_me() && me.is_alive());
    assert_eq!((me.slot(), me.label()), (1, "second"));
    assert_eq!(me, other.members().unwrap()[1]);
    let joined = region.watch_members().unwrap().try_next().unwrap().unwrap();
    assert_eq!(joined.member().map(Member::slot), Some(1));
    assert_eq!(MemberEvent::Unlinked.member(), None);
}
