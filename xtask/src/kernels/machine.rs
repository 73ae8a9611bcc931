//! A virtual machine: boots a kernel in QEMU and reads its console.

use super::guest::MARK;
use super::kernel::Processor;
use super::tools::Tool;
use crate::command;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

/// How QEMU runs the processor.
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
    /// It was switched off, or its kernel panicked.
    Off,
    /// It hung and was killed.
    Killed,
}

impl Machine<'_> {
    /// Boots the kernel and calls `line` with each line of the console.
    pub(crate) fn run(&self, bound: Duration, mut line: impl FnMut(&str)) -> io::Result<End> {
        let mut command = self.qemu.command();
        for directory in self.qemu.files(&["qemu", "seabios"]) {
            command.arg("-L").arg(directory);
        }
        let (machine, processor, console) = match self.processor {
            Processor::X86_64 => ("pc", "max", "ttyS0"),
            // An emulated processor is slow to sign pointers by the architecture's algorithm.
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

        // After an internal error of KVM, the machine would stand still until the deadline.
        let ended = command::lines(&mut command, Instant::now() + bound, |text| {
            line(text);
            if text.starts_with("KVM internal error") { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(if ended { End::Off } else { End::Killed })
    }

    /// Returns true if a guest reaches its first process. With KVM in a virtual machine it sometimes does not, although
    /// `/dev/kvm` exists: it stops at an instruction that is missing there.
    pub(crate) fn boots(&self) -> bool {
        let mut up = false;
        let end = self.run(Duration::from_secs(30), |line| up |= line.starts_with(MARK));
        up && end.is_ok_and(|end| end == End::Off)
    }
}

/// True if this process can use KVM for a processor.
pub(crate) fn may_have_kvm(processor: Processor) -> bool {
    processor.is_native() && fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok()
}
