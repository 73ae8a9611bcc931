//! The barrier.

use crate::directory::{Kind, Spec};
use crate::drive;
use crate::object::Object;
use crate::region::Region;
use crate::steps::barrier::{Arrive, Attach, Barrier as Steps, Detach, MAX_TASKS};
use crate::steps::record::{Records, STRIDE};
use crate::steps::{Machine, Role, Step, Words};
use futex_sys::Deadline;
use std::fmt;
use std::io;

/// A point in a [`Region`] at which tasks and threads of all members wait for each other, phase after phase.
///
/// A task takes part while it is [attached](Self::attach). A phase is over when all attached tasks have
/// [arrived](Participant::arrive_and_wait). The number of tasks may change at any time, so it is not a parameter.
///
/// A value of this type is a handle. Several handles may lead to the same barrier, even in one process.
///
/// # When a member dies
///
/// All tasks of the member are detached, and the others go on without them.
///
/// # Memory ordering
///
/// When a phase has ended for a task, the task sees everything that each other task wrote before it arrived in that phase.
///
/// # Misuse
///
/// If a [`Participant`] is leaked (`mem::forget`), or never arrives, the others wait until its process ends.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use futex_ipc::{Barrier, Region};
///
/// let region = Region::builder().anonymous()?;
/// let barrier = Barrier::open_or_create(&region, "rounds")?;
/// let mut participant = barrier.attach()?;
/// for _round in 0..3 {
///     // Work on a part of the round.
///     participant.blocking_arrive_and_wait()?;
///     // All parts of the round are done.
/// }
/// # Ok(())
/// # }
/// ```
pub struct Barrier {
    object: Object,
    steps: Steps,
}

pub(crate) const PHASE: u32 = 0;
pub(crate) const EVENT: u32 = 1;
const RECORDS: u32 = 16;

impl Barrier {
    /// Maximum number of tasks that one member attaches at the same time.
    pub const MAX_TASKS: u32 = MAX_TASKS;

    fn spec<'a>(region: &Region, name: &'a str) -> io::Result<Spec<'a>> {
        let len = RECORDS + region.membership().layout().slots * STRIDE;
        let spec = Spec::of::<()>(Kind::Barrier, name, len as usize, 0, &[(Role::Counter, EVENT)])?;
        Ok(spec.with_records(RECORDS))
    }

    fn new(object: Object) -> Self {
        let steps =
            Steps { phase: object.place(PHASE), event: object.place(EVENT), records: Records(object.place(RECORDS)) };
        Self { object, steps }
    }

    /// Makes a barrier.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if the region has an object of this name. `InvalidInput` for a name that is empty, longer than 64 bytes, or
    /// has a zero byte. `StorageFull` if the region has no room: a barrier needs 128 bytes, and 128 per slot of the region.
    /// `ResourceBusy` if another member is stopped while it adds an object.
    pub fn create(region: &Region, name: &str) -> io::Result<Self> {
        Object::create(region, &Self::spec(region, name)?, |_| ()).map(Self::new)
    }

    /// Opens a barrier.
    ///
    /// # Errors
    ///
    /// `NotFound` if the region has no object of this name. `InvalidInput` if the object is not a barrier.
    pub fn open(region: &Region, name: &str) -> io::Result<Self> {
        Object::open(region, &Self::spec(region, name)?).map(Self::new)
    }

    /// Opens a barrier, or makes it if the region has no object of this name. All processes that do this at once get the same
    /// barrier.
    ///
    /// # Errors
    ///
    /// Those of [`create`](Self::create), except `AlreadyExists`, and those of [`open`](Self::open), except `NotFound`.
    pub fn open_or_create(region: &Region, name: &str) -> io::Result<Self> {
        Object::open_or_create(region, &Self::spec(region, name)?, |_| ()).map(Self::new)
    }

    /// Attaches a task or thread. Each phase waits for it, until the [`Participant`] is dropped.
    ///
    /// If all others have arrived at this moment, their phase may still end without the new participant.
    ///
    /// # Errors
    ///
    /// - `Unsupported` in a fork of the process that opened the region.
    /// - `InvalidData` if the region is damaged. `BrokenPipe` if it was closed.
    /// - `QuotaExceeded` if [`MAX_TASKS`](Self::MAX_TASKS) tasks of this member are attached.
    /// - `ResourceBusy` if the words of the barrier changed about 65,000 times during the call. Only a member that writes at random does
    ///   that.
    pub fn attach(&self) -> io::Result<Participant> {
        let membership = self.object.membership();
        if !drive::attempt(membership, Attach::new(self.steps))? {
            let what = membership.what();
            let sentence = format!(
                "cannot attach another task to a barrier in {what}: this member has attached {MAX_TASKS}, which is the \
                 maximum. Drop a participant, or open the region a second time"
            );
            return Err(futex_sys::__private::fail(io::ErrorKind::QuotaExceeded, sentence));
        }
        Ok(Participant { object: self.object.clone(), steps: self.steps, arrival: None, waits: None })
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").field("object", &self.object).finish_non_exhaustive()
    }
}

/// A task or thread that takes part in the phases of a [`Barrier`].
///
/// Dropping it detaches the task, and takes back an arrival in a phase that is not over. If all others have arrived, the drop ends the
/// phase. A drop loads up to two words for each member that the region may have, makes at most one wake, and never waits.
#[must_use = "a participant that is dropped at once takes part in nothing"]
pub struct Participant {
    object: Object,
    steps: Steps,
    /// The phase of the last arrival.
    arrival: Option<u64>,
    /// The wait for the end of that phase, unless it has ended.
    waits: Option<Arrive>,
}

/// Result of a wait at a [`Barrier`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BarrierWaitResult {
    is_leader: bool,
}

impl BarrierWaitResult {
    /// Returns true for at most one task per phase: the task that ended it. If a drop or a death of another task ended the phase, it
    /// returns false for all.
    pub fn is_leader(&self) -> bool {
        self.is_leader
    }
}

impl Participant {
    /// Arrives, and waits until all attached tasks have arrived.
    ///
    /// # Errors
    ///
    /// Those of [`Barrier::attach`], except `QuotaExceeded`. `Unsupported` if the call has to wait outside a Tokio runtime.
    /// `BrokenPipe` if the runtime is shutting down. Those of a wait (see `futex_tokio::WaitAsync`).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the call is dropped, the arrival stays, and the next call waits for the end of the same phase. So a loop around
    /// `select!` takes part in each phase once.
    #[cfg(feature = "tokio")]
    pub async fn arrive_and_wait(&mut self) -> io::Result<BarrierWaitResult> {
        // Before the arrival, so that a task that gives up here has not arrived.
        tokio::task::coop::consume_budget().await;
        let is_leader = match self.arrive()? {
            Arrived::Over(is_leader) => is_leader,
            Arrived::Waits(wait) => drive::operate(self.object.membership(), || wait).await?,
        };
        Ok(self.ended(is_leader))
    }

    /// Arrives, and blocks the thread until all attached tasks have arrived.
    ///
    /// # Errors
    ///
    /// Those of [`arrive_and_wait`](Self::arrive_and_wait) that don't depend on a runtime. If a wait fails, the next call waits for the end
    /// of the same phase.
    pub fn blocking_arrive_and_wait(&mut self) -> io::Result<BarrierWaitResult> {
        self.block(None)
    }

    /// Like [`blocking_arrive_and_wait`](Self::blocking_arrive_and_wait), but gives up at a deadline. Then the arrival stays, and
    /// the next call waits for the end of the same phase.
    ///
    /// # Errors
    ///
    /// `TimedOut` after the deadline. Those of [`blocking_arrive_and_wait`](Self::blocking_arrive_and_wait).
    pub fn blocking_arrive_and_wait_deadline(
        &mut self,
        deadline: impl Into<Deadline>,
    ) -> io::Result<BarrierWaitResult> {
        self.block(Some(deadline.into()))
    }

    /// Arrives, and returns `None` if other attached tasks have not arrived yet. Then the arrival stays, and the next call continues with
    /// the same phase.
    ///
    /// # Errors
    ///
    /// Those of [`blocking_arrive_and_wait`](Self::blocking_arrive_and_wait).
    pub fn try_arrive_and_wait(&mut self) -> io::Result<Option<BarrierWaitResult>> {
        Ok(match self.arrive()? {
            Arrived::Over(is_leader) => Some(self.ended(is_leader)),
            Arrived::Waits(_) => None,
        })
    }

    fn block(&mut self, deadline: Option<Deadline>) -> io::Result<BarrierWaitResult> {
        let is_leader = match self.arrive()? {
            Arrived::Over(is_leader) => is_leader,
            Arrived::Waits(wait) => {
                drive::block(self.object.membership(), wait, deadline)?.ok_or_else(|| self.timed_out())?
            }
        };
        Ok(self.ended(is_leader))
    }

    #[cold]
    fn timed_out(&self) -> io::Error {
        let missed = format!("the phase of {} did not end", self.object);
        self.object.timed_out(missed, "how many tasks of each member have arrived")
    }

    /// Arrives, unless an earlier call has done that, and checks whether the phase is over.
    fn arrive(&mut self) -> io::Result<Arrived> {
        let begin = self.waits.unwrap_or_else(|| Arrive::new(self.steps));
        // A task that has arrived counts the others in the same call, because all of them may have counted before.
        let (arrive, arrived) = drive::attempt(self.object.membership(), UntilSleep(begin))?;
        self.arrival = arrive.arrival();
        self.waits = Some(arrive);
        Ok(arrived)
    }

    fn ended(&mut self, is_leader: bool) -> BarrierWaitResult {
        self.waits = None;
        BarrierWaitResult { is_leader }
    }
}

impl Drop for Participant {
    fn drop(&mut self) {
        drive::finish(self.object.membership(), Detach::new(self.steps, self.arrival));
    }
}

impl fmt::Debug for Participant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Participant")
            .field("object", &self.object)
            .field("arrival", &self.arrival)
            .field("waits", &self.waits.is_some())
            .finish_non_exhaustive()
    }
}

/// Result of an arrival.
enum Arrived {
    /// The phase is over.
    Over(bool),
    /// The phase is not over.
    Waits(Arrive),
}

/// An arrival without the sleep.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct UntilSleep(Arrive);

impl Machine for UntilSleep {
    type Output = (Arrive, Arrived);

    fn step<W: Words>(&mut self, words: &W) -> Step<Self::Output> {
        match self.0.step(words) {
            Step::Next | Step::Busy => Step::Next,
            Step::Contended => Step::Contended,
            Step::Sleep { .. } => Step::Done((self.0, Arrived::Waits(self.0))),
            Step::Done(is_leader) => Step::Done((self.0, Arrived::Over(is_leader))),
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    #[cfg(feature = "tokio")]
    use crate::testing::is_pending_after_a_turn;
    use crate::testing::two_members;
    #[cfg(feature = "tokio")]
    use futex_tests::within;
    use futex_tests::without_a_hang;
    #[cfg(feature = "tokio")]
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::Relaxed;
    use std::time::Duration;

    const PHASES: usize = 500;

    fn participants() -> Vec<Participant> {
        let regions = two_members();
        let attach = |region| Barrier::open_or_create(region, "rounds").unwrap().attach().unwrap();
        regions.iter().chain(&regions).map(attach).collect()
    }

    #[test]
    fn threads_of_two_members_are_in_the_same_phase() {
        without_a_hang(|| {
            let (arrivals, leaders) = (AtomicUsize::new(0), AtomicUsize::new(0));
            std::thread::scope(|scope| {
                for mut participant in participants() {
                    let (arrivals, leaders) = (&arrivals, &leaders);
                    scope.spawn(move || {
                        for phase in 0..PHASES {
                            assert!((4 * phase..4 * (phase + 1)).contains(&arrivals.fetch_add(1, Relaxed)));
                            let result = participant.blocking_arrive_and_wait().unwrap();
                            leaders.fetch_add(result.is_leader().into(), Relaxed);
                        }
                    });
                }
            });
            assert_eq!(leaders.into_inner(), PHASES);
        });
    }

    #[cfg(feature = "tokio")]
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn tasks_of_two_members_are_in_the_same_phase() {
        let arrivals = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = participants()
            .into_iter()
            .map(|mut participant| {
                let arrivals = arrivals.clone();
                tokio::spawn(async move {
                    for phase in 0..PHASES {
                        assert!((4 * phase..4 * (phase + 1)).contains(&arrivals.fetch_add(1, Relaxed)));
                        // A cancelled call first.
                        let over = tokio::select! {
                            biased;
                            result = participant.arrive_and_wait() => Some(result.unwrap()),
                            () = tokio::task::yield_now() => None,
                        };
                        if over.is_none() {
                            participant.arrive_and_wait().await.unwrap();
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            within(task).await.unwrap();
        }
        assert_eq!(arrivals.load(Relaxed), 4 * PHASES);
    }

    #[test]
    fn a_participant_that_gives_up_has_arrived_once() {
        let [region, other] = two_members();
        let barrier = Barrier::create(&region, "rounds").unwrap();
        let [mut first, mut second] = [0, 1].map(|_| barrier.attach().unwrap());
        let mut third = Barrier::open(&other, "rounds").unwrap().attach().unwrap();
        for phase in 0..300 {
            assert!(first.try_arrive_and_wait().unwrap().is_none());
            let error = first.blocking_arrive_and_wait_deadline(Deadline::after(Duration::from_micros(1))).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert!(second.try_arrive_and_wait().unwrap().is_none(), "the first one counts twice in {phase}");
            assert!(third.try_arrive_and_wait().unwrap().unwrap().is_leader());
            let minute = Deadline::after(Duration::from_secs(60));
            assert!(!first.blocking_arrive_and_wait_deadline(minute).unwrap().is_leader());
            assert!(!second.try_arrive_and_wait().unwrap().unwrap().is_leader());
        }
    }

    #[cfg(feature = "tokio")]
    #[tokio::test]
    async fn a_departure_ends_the_phase() {
        let [region, other] = two_members();
        let mut stays = Barrier::create(&region, "rounds").unwrap().attach().unwrap();
        let barrier = Barrier::open(&other, "rounds").unwrap();
        let goes = barrier.attach().unwrap();
        let mut has_arrived = barrier.attach().unwrap();
        assert!(has_arrived.try_arrive_and_wait().unwrap().is_none());
        let mut wait = Box::pin(stays.arrive_and_wait());
        assert!(is_pending_after_a_turn(&mut wait).await);
        drop(has_arrived);
        assert!(is_pending_after_a_turn(&mut wait).await);
        drop(goes);
        within(wait).await.unwrap();
        // Alone.
        assert!(stays.arrive_and_wait().await.unwrap().is_leader());
    }

    #[test]
    fn a_member_attaches_as_many_tasks_as_its_record_counts() {
        let [region, other] = two_members();
        let barrier = Barrier::create(&region, "rounds").unwrap();
        let mut all: Vec<_> = (0..MAX_TASKS).map(|_| barrier.attach().unwrap()).collect();
        assert_eq!(barrier.attach().unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
        all.pop();
        all.push(barrier.attach().unwrap());
        drop(Barrier::open(&other, "rounds").unwrap().attach().unwrap());
    }

    #[cfg(feature = "tokio")]
    #[test]
    fn a_wait_is_send() {
        fn check(_: impl Send) {}
        let mut participant = participants().remove(0);
        check(participant.arrive_and_wait());
        check(participant);
    }
}
