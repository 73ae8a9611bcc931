//! This crate holds no lock while it calls a `tracing` subscriber, so the subscriber may use reactors.
#![cfg(feature = "tracing")]

use futex_tokio::Reactor;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// A subscriber that asks for the runtime's reactor at the first event. That event occurs while this reactor is being made.
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

/// The list of all runtimes' reactors was locked while a reactor was made and its events were emitted. So this was a deadlock.
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
        send.send(()).expect("the test waits for the message");
    });
    over.recv_timeout(Duration::from_secs(60))
        .expect("a deadlock: the subscriber waits for the reactor that is being made");
    thread.join().expect("no panic");
}
