//! iceoryx2: samples by publish and subscribe, and its event to sleep for them.

use super::control::{AHEAD, Control, MESSAGE, Opened, message};
use crate::hull::Hull;
use anyhow::Result;
use iceoryx2::prelude::{BackpressureStrategy, LogLevel, Node, NodeBuilder, ipc, set_log_level};
use iceoryx2::service::port_factory::{event, publish_subscribe};
use std::hint::black_box;
use std::time::Duration;

type Service = ipc::Service;
type Message = [u32; MESSAGE];

/// Longest sleep of the listener before samples are checked for again. It is a precaution that was not needed in nine million
/// messages. In 0.10.0, however, the listener may take a notifier's datagram and go back to sleep before the notifier has
/// marked it as notified; and while it is marked, events send no datagram. The listener's wait without a timeout makes the
/// same system calls, so this is not slower.
const RESCUE: Duration = Duration::from_millis(10);

/// Both services of a name, and the node that opened them.
struct Services {
    _node: Node<Service>,
    samples: publish_subscribe::PortFactory<Service, Message, ()>,
    event: event::PortFactory<Service>,
}

impl Services {
    fn open(name: &str) -> Result<Self> {
        set_log_level(LogLevel::Error); // it warns that there is no configuration file
        let node = NodeBuilder::new().create::<Service>()?;
        let name = name.try_into()?;
        let samples = node
            .service_builder(&name)
            .publish_subscribe::<Message>()
            .enable_safe_overflow(false)
            .subscriber_max_buffer_size(AHEAD) // of each publisher
            .open_or_create()?;
        let event = node.service_builder(&name).event().open_or_create()?;
        Ok(Self { _node: node, samples, event })
    }
}

pub(super) fn open(control: &Control, producers: usize) -> Result<Opened> {
    let name = format!("futex-bench-{:x}", fastrand::u64(..));
    let services = Services::open(&name)?;
    let subscriber = services.samples.subscriber_builder().create()?;
    let listener = services.event.listener_builder().create()?;

    let hull = || Ok(Hull { name: name.clone(), ..Hull::of([&control.memory])? });
    let hulls = (0..producers).map(|_| hull()).collect::<Result<_>>()?;
    let consume = Box::new(move |_: &_, count| {
        let _alive = &services;
        let mut left = count;
        while left > 0 {
            while let Some(sample) = subscriber.receive()? {
                black_box(&*sample);
                left -= 1;
            }
            if left > 0 {
                listener.timed_wait(|_| {}, RESCUE)?;
            }
        }
        Ok(())
    });
    Ok((consume, hulls))
}

pub(super) async fn produce(control: &Control, hull: Hull) -> Result<()> {
    let services = Services::open(&hull.name)?;
    let publisher = services.samples.publisher_builder();
    let publisher = publisher.backpressure_strategy(BackpressureStrategy::RetryUntilDelivered).create()?;
    let notifier = services.event.notifier_builder().create()?;
    control
        .send_each(async |number| {
            publisher.loan_uninit()?.write_payload(message(number)).send()?;
            notifier.notify()?;
            Ok(())
        })
        .await
}
