//! Which runtime has which reactor.

use crate::driver::{Driver, outside};
use futex_core::{PerProcess, Reactor, Spin};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::{Handle, Id};

/// The reactor of each runtime that has asked for one, until it shuts down. In a child of `fork` there are none, and the lock
/// is free.
static DRIVERS: PerProcess<Mutex<HashMap<Id, Arc<Driver>>>> = PerProcess::new();

/// The current runtime's reactor, made if it has none.
pub(crate) fn current() -> io::Result<Arc<Driver>> {
    let runtime = Handle::try_current().map_err(|_| outside())?.id();
    let open = |drivers: &HashMap<Id, Arc<Driver>>| {
        drivers.get(&runtime).filter(|driver| !driver.reactor.is_closed()).cloned()
    };
    if let Some(driver) = open(&drivers()) {
        return Ok(driver);
    }
    // Without the lock: making a reactor runs the code of a `tracing` subscriber, which may ask for it as well.
    let driver = Driver::start(Reactor::new()?, Spin::default())?;
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
pub(crate) fn forget(runtime: Id) {
    let driver = drivers().remove(&runtime);
    drop(driver); // not under the lock: it may be the last handle, and closes the reactor
}

fn drivers() -> MutexGuard<'static, HashMap<Id, Arc<Driver>>> {
    DRIVERS.get().lock().unwrap_or_else(PoisonError::into_inner)
}
