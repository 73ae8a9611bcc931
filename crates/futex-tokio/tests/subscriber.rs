//! A subscriber of `tracing` is called without a lock of this crate, so it may use reactors itself.
#![cfg(feature = "tracing")]

use futex_tokio::Reactor;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Asks for the runtime's reactor when the first event comes, which is that of this reactor's making.
#[derive(Default)]
struct Asks(AtomicBool);

impl Subscriber for Asks {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        if event.metadata().target().starts_with("futex") && !self.0.swap(true, Ordering::Relaxed) {
            Reactor::current().expect("a reactor");
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The reactor was made, with its events, while the list of all runtimes' reactors was locked.
#[test]
fn a_subscriber_may_ask_for_the_reactor_that_is_being_made() {
    let (send, over) = channel();
    let thread = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (_entered, subscriber) = (runtime.enter(), tracing::Dispatch::new(Asks::default()));
        let made = tracing::dispatcher::with_default(&subscriber, Reactor::current);
        made.expect("a reactor");
        let asked = subscriber.downcast_ref::<Asks>().is_some_and(|asks| asks.0.load(Ordering::Relaxed));
        assert!(asked, "there was no event");
        send.send(()).expect("it is awaited");
    });
    over.recv_timeout(Duration::from_secs(60)).expect("a deadlock between a reactor's making and a subscriber");
    thread.join().expect("no panic");
}
