//! Which runtime has which reactor.

use crate::driver::{ADVICE, Driver};
use crate::register::current_runtime;
use futex_core::__private::PerProcess;
use futex_core::Reactor;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use tokio::runtime::Id;

/// The reactor of each runtime that has asked for one, until it shuts down.
static DRIVERS: PerProcess<Mutex<HashMap<Id, Arc<Driver>>>> = PerProcess::new();

/// The current runtime's reactor, made if it has none.
pub(crate) fn current() -> io::Result<Arc<Driver>> {
    let runtime = current_runtime(ADVICE)?;
    // A runtime inherited by fork keeps its reactor. Waiting with it is an error. A second reactor would be registered with an
    // epoll that the two processes share.
    let open = |drivers: &HashMap<Id, Arc<Driver>>| {
        let of_a_fork = |driver: &Driver| !driver.is_here();
        drivers.get(&runtime).filter(|driver| of_a_fork(driver) || !driver.reactor.is_closed()).cloned()
    };
    if let Some(driver) = open(&drivers()) {
        return Ok(driver);
    }
    // Without the lock: making a reactor runs the code of a `tracing` subscriber, which may ask for it as well.
    let driver = Driver::start(Reactor::new()?, forget)?;
    let mut drivers = drivers();
    if let Some(first) = open(&drivers) {
        drop(drivers);
        return Ok(first); // another thread was faster; dropping ours closes it
    }
    let replaced = drivers.insert(runtime, driver.clone());
    drop(drivers);
    drop(replaced);
    // A runtime that shut down meanwhile has closed the reactor, and perhaps found nothing here to forget.
    if driver.reactor.is_closed() {
        forget(runtime);
    }
    Ok(driver)
}

/// A runtime is gone.
fn forget(runtime: Id) {
    let driver = drivers().remove(&runtime);
    drop(driver); // not under the lock: it may be the last handle, and closes the reactor
}

fn drivers() -> MutexGuard<'static, HashMap<Id, Arc<Driver>>> {
    let drivers = DRIVERS.get_or_make(|parents| {
        // If another thread of the parent held the lock at the time of the fork, it is never released here.
        let inherited = parents.and_then(|parents| match parents.try_lock() {
            Ok(drivers) => Some(drivers.clone()),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner().clone()),
            Err(TryLockError::WouldBlock) => None,
        });
        Mutex::new(inherited.unwrap_or_default())
    });
    drivers.lock().unwrap_or_else(PoisonError::into_inner)
}
