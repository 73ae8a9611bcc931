//! Sandboxes: a filter makes system calls of the calling thread fail or raise a signal. It can't be removed.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use std::env::consts::ARCH;

/// Returns true if filters can be made for this processor.
pub(crate) fn is_supported() -> bool {
    TargetArch::try_from(ARCH).is_ok()
}

/// Makes all `calls` fail with `errno`.
pub(crate) fn forbid<const N: usize>(calls: [impl Into<i64>; N], errno: libc::c_int) {
    apply(calls, &[], error(errno));
}

/// Makes `call` fail with `errno` if its argument with this number has all of `bits`.
pub(crate) fn forbid_if(call: impl Into<i64>, argument: u8, bits: u32, errno: libc::c_int) {
    apply([call], &[all_of(argument, bits)], error(errno));
}

/// Makes `call` raise SIGSYS if its argument with this number has all of `bits`.
pub(crate) fn trap_if(call: impl Into<i64>, argument: u8, bits: u32) {
    apply([call], &[all_of(argument, bits)], SeccompAction::Trap);
}

/// Makes each of `calls` kill the process.
pub(crate) fn kill_at(calls: &[i64]) {
    apply(calls.to_vec(), &[], SeccompAction::KillProcess);
}

fn all_of(argument: u8, bits: u32) -> SeccompRule {
    let op = SeccompCmpOp::MaskedEq(bits.into());
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, op, bits.into()).expect("a condition");
    SeccompRule::new(vec![condition]).expect("a rule")
}

fn error(errno: libc::c_int) -> SeccompAction {
    SeccompAction::Errno(u32::try_from(errno).expect("errno is positive"))
}

fn apply(calls: impl IntoIterator<Item = impl Into<i64>>, rules: &[SeccompRule], action: SeccompAction) {
    let rules = calls.into_iter().map(|call| (call.into(), rules.to_vec())).collect();
    let arch = TargetArch::try_from(ARCH).expect("the test has checked `is_supported`");
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, arch).expect("a filter");
    let program: BpfProgram = filter.try_into().expect("a program");
    seccompiler::apply_filter(&program).expect("seccomp");
}
