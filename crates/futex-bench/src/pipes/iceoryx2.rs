//! iceoryx2: samples by publish and subscribe, and its event to sleep for them.

use super::control::Control;
use super::message::{AHEAD, MESSAGE, message};
use super::opened::{Consume, Opened};
use crate::hull::Hull;
use iceoryx2::port::listener::Listener;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::{BackpressureStrategy, LogLevel, Node, NodeBuilder, ipc, set_log_level};
use iceoryx2::service::port_factory::{event, publish_subscribe};
use std::hint::black_box;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

type Service = ipc::Service;
type Message = [u32; MESSAGE];

/// How long the listener sleeps at most before samples are looked for again. It is a precaution that was not needed in nine
/// million messages. As 0.10.0 is written, though, the listener may take a notifier's datagram and go back to sleep before the
/// notifier has marked it as notified; and while it is marked, events send no datagram. The listener's wait without a timeout
/// makes the same system calls, so this is not slower.
const RESCUE: Duration = Duration::from_millis(10);

/// Both services of a name, and the node that they are opened by.
struct Services {
    node: Node<Service>,
    samples: publish_subscribe::PortFactory<Service, Message, ()>,
    event: event::PortFactory<Service>,
}

impl Services {
    fn open(name: &str) -> io::Result<Self> {
        set_log_level(LogLevel::Error); // it warns that there is no configuration file
        let node = NodeBuilder::new().create::<Service>().map_err(io::Error::other)?;
        let name = name.try_into().map_err(io::Error::other)?;
        let samples = node
            .service_builder(&name)
            .publish_subscribe::<Message>()
            .enable_safe_overflow(false)
            .subscriber_max_buffer_size(AHEAD) // of each publisher
            .open_or_create()
            .map_err(io::Error::other)?;
        let event = node.service_builder(&name).event().open_or_create().map_err(io::Error::other)?;
        Ok(Self { node, samples, event })
    }
}

pub(super) fn open(producers: usize) -> io::Result<Opened> {
    static LATEST: AtomicU32 = AtomicU32::new(0);
    let name = format!("futex-bench-pipe-{}-{}", std::process::id(), LATEST.fetch_add(1, Ordering::Relaxed));
    let services = Services::open(&name)?;
    let subscriber = services.samples.subscriber_builder().create().map_err(io::Error::other)?;
    let listener = services.event.listener_builder().create().map_err(io::Error::other)?;

    let control = Control::create(4096)?;
    let hull = || Ok(Hull { stdin: control.fd()?, stdout: None, name: name.clone() });
    let hulls = (0..producers).map(|_| hull()).collect::<io::Result<_>>()?;
    Ok(Opened { control, hulls, consume: Box::new(|| Ok(consume(services, subscriber, listener))) })
}

fn consume(services: Services, subscriber: Subscriber<Service, Message, ()>, listener: Listener<Service>) -> Consume {
    Box::new(move |_, count| {
        let _alive = &services.node;
        let mut left = count;
        while left > 0 {
            while let Some(sample) = subscriber.receive().map_err(io::Error::other)? {
                black_box(&*sample);
                left -= 1;
            }
            if left > 0 {
                listener.timed_wait(|_| {}, RESCUE).map_err(io::Error::other)?;
            }
        }
        Ok(())
    })
}

pub(super) fn produce(hull: Hull) -> io::Result<()> {
    let control = Control::from_fd(hull.stdin)?;
    let services = Services::open(&hull.name)?;
    let publisher = services
        .samples
        .publisher_builder()
        .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
        .create()
        .map_err(io::Error::other)?;
    let notifier = services.event.notifier_builder().create().map_err(io::Error::other)?;
    control.send_each(|number| {
        let sample = publisher.loan_uninit().map_err(io::Error::other)?;
        sample.write_payload(message(number)).send().map_err(io::Error::other)?;
        notifier.notify().map_err(io::Error::other)?;
        Ok(())
    })
}
