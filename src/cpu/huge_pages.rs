//! Huge pages under the weights, on Linux. A decode step reads all weights once; with pages of 4 KiB a quarter of its
//! time is waiting for the translation of addresses.
#![allow(unsafe_code)] // one system call

/// Size and alignment of a huge page of x86-64 and of ARM64 with pages of 4 KiB.
const HUGE: usize = 2 << 20;
/// Words of the smallest buffer that is worth the system call.
pub(super) const MIN_WORDS: usize = 1 << 14;

/// Requests huge pages for memory that nothing was written to yet.
pub(super) fn request(memory: &Vec<u32>) {
    // Only whole pages of the buffer's own: what lies beside it may be in use.
    let start = (memory.as_ptr() as usize).next_multiple_of(HUGE);
    let end = (memory.as_ptr() as usize + memory.capacity() * 4) / HUGE * HUGE;
    if start < end {
        // SAFETY: the advice changes no contents and no mapping.
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE) };
    }
}

/// Moves a buffer, and its neighbours up to whole huge pages, into huge pages, which takes a copy where they are not
/// yet. Contents do not change. Where the kernel cannot (before Linux 6.1, memory in pieces), everything stays as it is.
pub(super) fn collapse(words: &[u32]) {
    let bytes = words.as_ptr_range();
    let (start, end) = (bytes.start as usize / HUGE * HUGE, bytes.end as usize);
    for page in (start..end).step_by(HUGE) {
        // SAFETY: the advice changes no contents and no mapping, whatever is mapped there.
        unsafe { libc::madvise(page as *mut libc::c_void, HUGE, libc::MADV_COLLAPSE) };
    }
}
