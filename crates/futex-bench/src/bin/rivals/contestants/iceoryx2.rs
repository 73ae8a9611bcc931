//! iceoryx2. It has no lock, so the place of a blackboard's only writer is what one process can hold.
//!
//! There is no call that waits for the place. So `hold` tries again every millisecond, and removes dead nodes meanwhile, as the
//! library's documentation says that a program should do.

use crate::handle::{Handle, scribble};
use anyhow::{Context as _, Result, bail};
use futex_sys::SharedMemory;
use iceoryx2::config::Config;
use iceoryx2::port::reader::{EntryHandle, Reader};
use iceoryx2::port::writer::{EntryHandleMut, EntryValueUninit, Writer, WriterCreateError};
use iceoryx2::prelude::{LogLevel, MessagingPattern, Node, NodeBuilder, ServiceName, ipc, set_log_level};
use iceoryx2::service::Service as _;
use iceoryx2::service::port_factory::blackboard::PortFactory;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

type Service = ipc::Service;
type Value = [u32; 2];

/// The key of the only entry.
const KEY: u64 = 0;

struct Blackboard {
    name: String,
    version: String,
    entry: EntryHandle<Service, u64, Value>,
    _reader: Reader<Service, u64>,
    holds: Holds,
    service: PortFactory<Service, u64>,
    node: Node<Service>,
}

/// What this process holds.
enum Holds {
    Nothing,
    /// The place, with the right to write the entry, if the library grants it.
    Place(Option<EntryHandleMut<Service, u64, Value>>, Writer<Service, u64>),
    /// The place, with an update that was begun.
    Half {
        _value: EntryValueUninit<Service, u64, Value>,
        _writer: Writer<Service, u64>,
    },
}

pub(super) fn open(name: &str) -> Result<Box<dyn Handle>> {
    set_log_level(LogLevel::Fatal);
    // All files have the name in theirs, so that they can be found.
    let mut config = Config::default();
    config.global.prefix = name.try_into()?;
    let root = std::env::temp_dir().join(name);
    config.global.set_root_path(&root.to_str().context("the path of temporary files is not UTF-8")?.try_into()?);

    let node = NodeBuilder::new().config(&config).create::<Service>()?;
    let service_name: ServiceName = "rivals".try_into()?;
    let service = match node.service_builder(&service_name).blackboard_opener::<u64>().open() {
        Ok(service) => service,
        Err(_) => node
            .service_builder(&service_name)
            .blackboard_creator::<u64>()
            .add::<Value>(KEY, [0; 2])
            .create()
            .context("the blackboard can be neither opened nor created")?,
    };
    let details = Service::details(&service_name, &config, MessagingPattern::Blackboard)?;
    let version = details.map(|details| format!("iceoryx2 {}", details.static_details.iceoryx2_version()));
    let reader = service.reader_builder().create()?;
    let entry = reader.entry(&KEY)?;
    Ok(Box::new(Blackboard {
        name: name.to_owned(),
        version: version.unwrap_or_default(),
        entry,
        _reader: reader,
        holds: Holds::Nothing,
        service,
        node,
    }))
}

impl Handle for Blackboard {
    fn version(&self) -> String {
        self.version.clone()
    }

    fn hold(&mut self) -> Result<String> {
        loop {
            match self.service.writer_builder().create() {
                Ok(writer) => {
                    let entry = writer.entry(&KEY);
                    let report = entry.as_ref().err().map(|error| format!("{error:?} for the entry"));
                    self.holds = Holds::Place(entry.ok(), writer);
                    return Ok(report.unwrap_or_default());
                }
                Err(WriterCreateError::ExceedsMaxSupportedWriters) => {
                    self.node.try_cleanup_dead_nodes();
                    sleep(Duration::from_millis(1));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn release(&mut self) -> Result<()> {
        self.holds = Holds::Nothing;
        Ok(())
    }

    fn store(&mut self, value: u32) -> Result<()> {
        let Holds::Place(Some(entry), _) = &self.holds else { bail!("the entry can't be written") };
        entry.update_with_copy([value; 2]);
        Ok(())
    }

    fn store_half(&mut self, value: u32) -> Result<()> {
        let [_, old] = self.load()?;
        let Holds::Place(Some(entry), writer) = std::mem::replace(&mut self.holds, Holds::Nothing) else {
            bail!("the entry can't be written")
        };
        let mut loan = entry.loan_uninit();
        loan.value_mut().write([value, old]);
        self.holds = Holds::Half { _value: loan, _writer: writer };
        Ok(())
    }

    fn load(&mut self) -> Result<Value> {
        Ok(*self.entry.get())
    }

    fn scribble(&mut self, random: &mut fastrand::Rng) -> Result<()> {
        for file in fs::read_dir(Path::new("/dev/shm"))? {
            let file = file?;
            if file.file_name().to_string_lossy().starts_with(&self.name) {
                // A file may go away meanwhile.
                if let Ok(memory) = SharedMemory::open_path(file.path()) {
                    scribble(memory.as_words(), random);
                }
            }
        }
        Ok(())
    }
}
