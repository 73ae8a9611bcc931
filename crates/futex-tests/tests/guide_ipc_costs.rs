//! The costs of a region, as the guide to futex-ipc lists them. This file has only one test, so that no other test uses the same
//! process.

use futex_ipc::Region;
use futex_tests::holdings::threads;
use futex_tests::load::descriptors;
use futex_tests::until;
use std::fs::File;

/// Number of the threads of this process that notice deaths.
fn watchers() -> usize {
    threads("futex-ipc")
}

#[test]
fn regions_cost_what_the_guide_lists() {
    let before = descriptors();
    let first = Region::builder().anonymous().expect("a region");
    // A thread has its name when it begins to run.
    until(|| watchers() == 1);
    assert_eq!(descriptors() - before, 1 + 3);
    let _second = Region::builder().anonymous().expect("a region");
    assert_eq!(descriptors() - before, 2 + 3);
    assert_eq!(watchers(), 1);

    let length =
        |region: &Region| File::from(region.share().expect("a descriptor")).metadata().expect("metadata").len();
    assert_eq!(length(&first), (4 << 10) + 64 * 128 + 64 * 256 + (64 << 10));
    assert_eq!(length(&first), 92 << 10);
}
