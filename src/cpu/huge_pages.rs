//! Huge pages under the weights, on Linux. A decode step reads all weights once; with pages of 4 KiB a quarter of its
//! time is waiting for the translation of addresses. Elsewhere these functions do nothing.
#![allow(unsafe_code)] // one system call

use std::ops::Range;

/// Size and alignment of a huge page of x86-64, and of ARM64 with pages of 4 KiB.
const HUGE: usize = 2 << 20;
/// Words of the smallest buffer that is worth the system calls.
pub(super) const MIN_WORDS: usize = 1 << 14;

/// Requests huge pages for memory that nothing was written to yet: for the whole ones within it.
pub(super) fn request(memory: &Vec<u32>) {
    let start = memory.as_ptr() as usize;
    let whole = start.next_multiple_of(HUGE)..(start + memory.capacity() * 4) / HUGE * HUGE;
    advise(whole, Advice::Request);
}

/// Moves a buffer, and its neighbours up to whole huge pages, into huge pages, which takes a copy where they are not
/// yet. Contents do not change. Where the kernel cannot (before Linux 6.1, memory in pieces), everything stays as it is.
pub(super) fn collapse(words: &[u32]) {
    let bytes = words.as_ptr_range();
    for page in (bytes.start as usize / HUGE * HUGE..bytes.end as usize).step_by(HUGE) {
        advise(page..page + HUGE, Advice::Collapse);
    }
}

enum Advice {
    Request,
    Collapse,
}

#[cfg(target_os = "linux")]
fn advise(range: Range<usize>, advice: Advice) {
    let advice = match advice {
        Advice::Request => libc::MADV_HUGEPAGE,
        Advice::Collapse => libc::MADV_COLLAPSE,
    };
    if !range.is_empty() {
        // SAFETY: the advice changes no contents and no mapping, whatever is mapped there.
        unsafe { libc::madvise(range.start as *mut libc::c_void, range.len(), advice) };
    }
}

#[cfg(not(target_os = "linux"))]
fn advise(_: Range<usize>, _: Advice) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_stay_in_huge_pages() {
        let mut memory = Vec::<u32>::with_capacity(3 * HUGE / 4);
        request(&memory);
        memory.extend((0..3 * HUGE as u32 / 4).map(|n| n.wrapping_mul(0x9e37_79b9)));
        collapse(&memory);
        collapse(&memory[5..100]);
        assert!((0u32..).zip(&memory).all(|(n, word)| *word == n.wrapping_mul(0x9e37_79b9)));
    }
}
