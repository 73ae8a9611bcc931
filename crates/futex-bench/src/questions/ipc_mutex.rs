//! `ipc_mutex`: a mutex between processes that nobody else wants.

use crate::batch::{each, each_async};
use crate::locks::{LEN, Lock};
use crate::ours::Kind;
use crate::question::{Contestant, Figures, Question, Turn, Unit};
use crate::robust_mutex::RobustMutex;
use anyhow::Result;
use futex_ipc::{Mutex, Region};
use futex_sys::SharedMemory;
use std::hint::black_box;
use std::io;

pub(super) const QUESTION: Question = Question {
    name: "ipc_mutex",
    asks: "What does it cost to lock a mutex and to unlock it, if nobody else wants it?",
    unit: Unit::Nanoseconds,
    reference: Some(STD),
    seconds: [20, 4],
    contestants: |_| {
        vec![
            Contestant::new(STD, || {
                let mutex = std::sync::Mutex::new(());
                Ok(blocking(move || drop(black_box(&mutex).lock())))
            }),
            Contestant::new("parking_lot", || {
                let mutex = parking_lot::Mutex::new(());
                Ok(blocking(move || drop(black_box(&mutex).lock())))
            }),
            Contestant::new(Lock::Robust, || {
                let mutex = RobustMutex::make(SharedMemory::anonymous(LEN)?)?;
                Ok(blocking(move || mutex.lock().and_then(|_| mutex.unlock())))
            }),
            Contestant::new(TOKIO, tokio),
            Contestant::new(Lock::Blocking, || {
                let mutex = Mutex::create(&Region::builder().anonymous()?, "lock", ())?;
                Ok(blocking(move || drop(black_box(&mutex).blocking_lock())))
            }),
            Contestant::new(Lock::Blocking, || {
                let mutex = Mutex::create(&Region::builder().anonymous()?, "value", 0_u64)?;
                Ok(batches("a u64 that is committed", move || each(|| mutex.blocking_update(|value| *value += 1))))
            }),
            Contestant::new(Lock::Tasks, tasks),
        ]
    },
    verdicts: |answer| {
        vec![
            answer.at_most(Lock::Blocking, STD, CASE, 2.2),
            answer.at_most(Lock::Tasks, STD, CASE, 2.2),
            answer.at_most(Lock::Tasks, TOKIO, CASE, 0.6),
        ]
    },
};

const STD: &str = "std";
const TOKIO: &str = "tokio";
const CASE: &str = "Mutex<()>";

/// Number of figures of a turn.
const BATCHES: usize = 50;

fn batches(case: &'static str, mut batch: impl FnMut() -> f64 + 'static) -> Turn {
    Box::new(move |figures: &mut Figures| {
        figures.add(case, (0..BATCHES).map(|_| batch()));
        Ok(())
    })
}

fn blocking<T>(mut call: impl FnMut() -> T + 'static) -> Turn {
    batches(CASE, move || each(&mut call))
}

fn tokio() -> Result<Turn> {
    let (runtime, mutex) = (Kind::CurrentThread.runtime()?, tokio::sync::Mutex::new(()));
    Ok(batches(CASE, move || each_async(&runtime, async || drop(black_box(&mutex).lock().await))))
}

fn tasks() -> Result<Turn> {
    let mutex = Mutex::create(&Region::builder().anonymous()?, "lock", ())?;
    let runtime = Kind::CurrentThread.runtime()?;
    Ok(batches(CASE, move || {
        each_async(&runtime, async || {
            let _guard = black_box(&mutex).lock().await?;
            Ok::<_, io::Error>(())
        })
    }))
}
