//! Which runtime has which reactor.

use crate::driver::{Driver, outside};
use futex_core::{Reactor, Spin};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use tokio::runtime::{Handle, Id};

/// The reactor of each runtime that has asked for one, until it shuts down.
static DRIVERS: LazyLock<Mutex<HashMap<Id, Arc<Driver>>>> = LazyLock::new(Mutex::default);

/// The current runtime's reactor, made if it has none.
pub(crate) fn current() -> io::Result<Arc<Driver>> {
    let runtime = Handle::try_current().map_err(|_| outside())?.id();
    // Locked throughout, so that two threads of a runtime don't make two.
    let mut drivers = drivers();
    if let Some(driver) = drivers.get(&runtime) {
        if !driver.reactor.is_closed() {
            return Ok(driver.clone());
        }
    }
    let driver = Driver::start(Reactor::new()?, Spin::default(), true)?;
    let replaced = drivers.insert(runtime, driver.clone());
    drop(drivers);
    drop(replaced);
    Ok(driver)
}

/// A runtime is gone.
pub(crate) fn forget(runtime: Id) {
    let driver = drivers().remove(&runtime);
    drop(driver); // not under the lock: it may be the last handle, and closes the reactor
}

fn drivers() -> MutexGuard<'static, HashMap<Id, Arc<Driver>>> {
    DRIVERS.lock().unwrap_or_else(PoisonError::into_inner)
}
