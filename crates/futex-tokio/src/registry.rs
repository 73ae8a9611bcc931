//! The reactors of `Reactor::current`, by runtime.

use crate::driver::{ADVICE, Driver};
use crate::register::current_runtime;
use futex_core::__private::PerProcess;
use futex_core::Reactor;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use tokio::runtime::Id;

/// The reactor of each runtime that has made one by `Reactor::current`, until the runtime shuts down.
static DRIVERS: PerProcess<Mutex<HashMap<Id, Arc<Driver>>>> = PerProcess::new();

/// Returns the reactor of the current runtime. Makes it if there is none.
pub(crate) fn current() -> io::Result<Arc<Driver>> {
    let runtime = current_runtime(ADVICE)?;
    // In a fork, a runtime of the parent keeps the parent's reactor, although a wait with it is an error. A second reactor would
    // be registered with the epoll that both processes share.
    let open = |drivers: &HashMap<Id, Arc<Driver>>| {
        let of_a_fork = |driver: &Driver| !driver.is_here();
        drivers.get(&runtime).filter(|driver| of_a_fork(driver) || !driver.reactor.is_closed()).cloned()
    };
    if let Some(driver) = open(&drivers()) {
        return Ok(driver);
    }
    // The lock is not held: making a reactor may call a `tracing` subscriber, which may call this function too.
    let driver = Driver::start(Reactor::new()?, forget)?;
    let mut drivers = drivers();
    if let Some(first) = open(&drivers) {
        drop(drivers);
        return Ok(first); // another thread was faster, and dropping `driver` closes this reactor
    }
    let replaced = drivers.insert(runtime, driver.clone());
    drop(drivers);
    drop(replaced);
    // If the runtime has shut down meanwhile, it has closed the reactor, perhaps before the insertion. Then its `forget` removed
    // nothing.
    if driver.reactor.is_closed() {
        forget(runtime);
    }
    Ok(driver)
}

/// Removes the reactor of a runtime that has shut down.
fn forget(runtime: Id) {
    let driver = drivers().remove(&runtime);
    drop(driver); // without the lock: this may be the last handle, and dropping it closes the reactor
}

fn drivers() -> MutexGuard<'static, HashMap<Id, Arc<Driver>>> {
    let drivers = DRIVERS.get_or_make(|parents| {
        // If another thread of the parent held the lock at the time of the fork, nobody releases it in the child.
        let inherited = parents.and_then(|parents| match parents.try_lock() {
            Ok(drivers) => Some(drivers.clone()),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner().clone()),
            Err(TryLockError::WouldBlock) => None,
        });
        Mutex::new(inherited.unwrap_or_default())
    });
    drivers.lock().unwrap_or_else(PoisonError::into_inner)
}
