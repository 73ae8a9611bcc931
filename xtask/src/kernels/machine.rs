//! A machine of QEMU's: boots a kernel and reads its console.

use super::guest::MARK;
use super::kernel::Processor;
use super::tools::Tool;
use crate::run::Group;
use std::fs;
use std::io::{self, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// How the processor is had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acceleration {
    Kvm,
    Emulation,
}

pub(crate) struct Machine<'a> {
    pub(crate) qemu: &'a Tool,
    pub(crate) processor: Processor,
    pub(crate) acceleration: Acceleration,
    pub(crate) kernel: &'a Path,
    pub(crate) files: &'a Path,
}

/// How a machine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It was switched off, or its kernel gave up.
    Off,
    /// It ran for too long, and was killed.
    Killed,
}

impl Machine<'_> {
    /// Boots, and calls `line` with each line of the console.
    pub(crate) fn run(&self, bound: Duration, mut line: impl FnMut(&str)) -> io::Result<End> {
        let deadline = Instant::now() + bound;
        let mut command = self.qemu.command();
        for directory in self.qemu.files(&["qemu", "seabios"]) {
            command.arg("-L").arg(directory);
        }
        let (machine, processor, console) = match self.processor {
            Processor::X86_64 => ("pc", "max", "ttyS0"),
            // Signed pointers as the architecture has them take an emulated processor much time.
            Processor::Arm64 if self.acceleration == Acceleration::Emulation => {
                ("virt,gic-version=3", "max,pauth-impdef=on", "ttyAMA0")
            }
            Processor::Arm64 => ("virt,gic-version=host", "host", "ttyAMA0"),
        };
        let acceleration = match self.acceleration {
            Acceleration::Kvm => "kvm",
            Acceleration::Emulation => "tcg,thread=multi",
        };
        command.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-monitor", "none"]);
        command.args(["-serial", "stdio", "-smp", "2", "-m", "3072"]);
        command.args(["-machine", machine, "-cpu", processor, "-accel", acceleration]);
        command.arg("-kernel").arg(self.kernel).arg("-initrd").arg(self.files);
        command.args(["-append", &format!("console={console} quiet panic=-1")]);

        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.process_group(0).spawn()?;
        let group = Group::watch(child.id())?;
        let (sender, receiver) = mpsc::channel();
        if let (Some(console), Some(errors)) = (child.stdout.take(), child.stderr.take()) {
            let other = sender.clone();
            thread::spawn(move || send_lines(BufReader::new(console), &sender));
            thread::spawn(move || send_lines(BufReader::new(errors), &other));
        }
        let end = loop {
            match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                // Such a machine stands still, and would do so until its time is over.
                Ok(text) if text.starts_with("KVM internal error") => {
                    line(&text);
                    break End::Killed;
                }
                Ok(text) => line(&text),
                Err(RecvTimeoutError::Timeout) => break End::Killed,
                Err(RecvTimeoutError::Disconnected) => break End::Off,
            }
        };
        // Which kills the machine if it still runs.
        drop(group);
        child.wait()?;
        Ok(end)
    }

    /// Whether a guest reaches its first process. With KVM it may not, although there is a `/dev/kvm`: it stops at an
    /// instruction that a virtual machine within a virtual machine lacks.
    pub(crate) fn boots(&self) -> bool {
        let mut up = false;
        let end = self.run(Duration::from_secs(30), |line| up |= line.starts_with(MARK));
        up && end.is_ok_and(|end| end == End::Off)
    }
}

fn send_lines(mut from: impl io::BufRead, to: &mpsc::Sender<String>) {
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        if to.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
            return;
        }
        line.clear();
    }
}

/// Whether this machine has KVM for a processor that this process may use.
pub(crate) fn may_have_kvm(processor: Processor) -> bool {
    processor.is_native() && fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok()
}
