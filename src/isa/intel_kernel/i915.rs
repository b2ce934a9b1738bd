//! A stand-in for Linux's driver of Intel's graphics cards, and for the part of libdrm by which ANV finds a card.
//!
//! ANV (Mesa's Vulkan driver) resolves these names in the program that loads it before it looks in libdrm and in the C
//! library; `build.rs` exports them. With `INTEL_NO_HW` ANV asks little of the kernel: a device number, handles of
//! buffers and contexts. Buffers are mappings of /dev/zero. Nothing is ever submitted: pipelines compile, and no more.
//!
//! Structures and numbers: include/uapi/drm/{drm.h,i915_drm.h} of Linux, xf86drm.h of libdrm 2.4.

// These are functions of the C library and of libdrm, called by C.
#![allow(unsafe_code, non_snake_case)]

use std::ffi::{c_char, c_int, c_long, c_ulong, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// `drmPciBusInfo`: domain, bus, device and function.
#[repr(C)]
struct BusInfo {
    domain: u16,
    address: [u8; 3],
}

/// `drmPciDeviceInfo`.
#[repr(C)]
struct DeviceInfo {
    vendor: u16,
    device: u16,
    subvendor: u16,
    subdevice: u16,
    revision: u8,
}

/// `drmDevice`.
#[repr(C)]
struct Device {
    nodes: *const *const c_char,
    available_nodes: c_int,
    bus_type: c_int,
    bus_info: *const BusInfo,
    device_info: *const DeviceInfo,
}

/// The card that is shown.
static CARD: AtomicPtr<Device> = AtomicPtr::new(ptr::null_mut());
/// The last handle that was given out.
static HANDLE: AtomicU32 = AtomicU32::new(0);

/// Shows the drivers of this process a card of Intel's with this PCI device number.
pub fn present(device: u16) {
    // A primary and a render node, of which every mapping is memory of its own.
    let node: *const c_char = c"/dev/zero".as_ptr();
    let info = DeviceInfo { vendor: 0x8086, device, subvendor: 0, subdevice: 0, revision: 1 };
    let card = Device {
        nodes: Box::leak(Box::new([node; 3])).as_ptr(),
        available_nodes: 0b101,
        bus_type: 0,
        bus_info: Box::leak(Box::new(BusInfo { domain: 0, address: [0, 2, 0] })),
        device_info: Box::leak(Box::new(info)),
    };
    CARD.store(Box::leak(Box::new(card)), Ordering::Release);
}

/// Returns a handle that no other object has.
fn handle() -> u32 {
    HANDLE.fetch_add(1, Ordering::Relaxed) + 1
}

/// Lists the devices: one, or none before [`present`].
///
/// # Safety
/// `devices` is null or has room for `most`.
#[unsafe(no_mangle)]
unsafe extern "C" fn drmGetDevices2(_: u32, devices: *mut *mut Device, most: c_int) -> c_int {
    let card = CARD.load(Ordering::Acquire);
    if card.is_null() {
        return 0;
    }
    if !devices.is_null() && most > 0 {
        // SAFETY: as the caller promises.
        unsafe { devices.write(card) };
    }
    1
}

/// Returns the device behind a file.
///
/// # Safety
/// `device` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn drmGetDevice2(_: c_int, _: u32, device: *mut *mut Device) -> c_int {
    // SAFETY: as the caller promises.
    unsafe { device.write(CARD.load(Ordering::Acquire)) };
    0
}

#[unsafe(no_mangle)]
extern "C" fn drmFreeDevice(_: *mut *mut Device) {}

#[unsafe(no_mangle)]
extern "C" fn drmFreeDevices(_: *mut *mut Device, _: c_int) {}

/// Says that the kernel can do everything.
///
/// # Safety
/// `value` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn drmGetCap(_: c_int, _: u64, value: *mut u64) -> c_int {
    // SAFETY: as the caller promises.
    unsafe { value.write(1) };
    0
}

/// Makes an object that work could be waited for by.
///
/// # Safety
/// `made` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn drmSyncobjCreate(_: c_int, _: u32, made: *mut u32) -> c_int {
    // SAFETY: as the caller promises.
    unsafe { made.write(handle()) };
    0
}

#[unsafe(no_mangle)]
extern "C" fn drmSyncobjDestroy(_: c_int, _: u32) -> c_int {
    0
}

/// See [`ioctl`].
///
/// # Safety
/// As of [`ioctl`].
#[unsafe(no_mangle)]
unsafe extern "C" fn drmIoctl(file: c_int, request: c_ulong, argument: *mut c_void) -> c_int {
    // SAFETY: as the caller promises.
    unsafe { ioctl(file, request, argument) }
}

/// `DRM_IOCTL_I915_*`, counted from `DRM_COMMAND_BASE`.
mod command {
    pub const GETPARAM: c_ulong = 0x46;
    pub const GEM_CREATE: c_ulong = 0x5b;
    pub const GEM_MMAP_OFFSET: c_ulong = 0x5e;
    pub const GEM_GET_APERTURE: c_ulong = 0x63;
    pub const GEM_CONTEXT_CREATE: c_ulong = 0x6d;
    pub const REG_READ: c_ulong = 0x71;
    pub const GEM_USERPTR: c_ulong = 0x73;
    pub const GEM_CONTEXT_GETPARAM: c_ulong = 0x74;
    pub const QUERY: c_ulong = 0x79;
    pub const GEM_VM_CREATE: c_ulong = 0x7a;
    pub const GEM_CREATE_EXT: c_ulong = 0x7c;
    use std::ffi::c_ulong;
}

/// Answers what a driver asks the kernel about the card; other requests go to the kernel.
///
/// # Safety
/// `argument` points to the structure that the request names.
#[unsafe(no_mangle)]
unsafe extern "C" fn ioctl(file: c_int, request: c_ulong, argument: *mut c_void) -> c_int {
    // The second byte of a request is its kind, the third and the fourth hold the size of its structure.
    if request >> 8 & 0xff != c_ulong::from(b'd') {
        // SAFETY: the request as it came.
        return unsafe { libc::syscall(libc::SYS_ioctl, c_long::from(file), request, argument) } as c_int;
    }
    let size = request >> 16 & 0x3fff;
    let (words, longs) = (argument.cast::<u32>(), argument.cast::<u64>());
    // SAFETY: every structure has these fields at these places, and the kernel would write them, too.
    unsafe {
        match request & 0xff {
            // {int param; int *value}
            command::GETPARAM => argument.cast::<*mut c_int>().add(1).read().write(parameter(words.read())),
            // {u64 size; u32 handle}
            command::GEM_CREATE | command::GEM_CREATE_EXT => words.add(2).write(handle()),
            // {u32 handle, pad; u64 offset}; the older request of this number has another size
            command::GEM_MMAP_OFFSET if size <= 32 => longs.add(1).write(0),
            command::GEM_MMAP_OFFSET => return invalid(),
            // {u64 size, available}
            command::GEM_GET_APERTURE => [0, 1].iter().for_each(|i| longs.add(*i).write(4 << 30)),
            // {u32 context}
            command::GEM_CONTEXT_CREATE => words.write(handle()),
            // {u64 register, value}
            command::REG_READ => longs.add(1).write(0),
            // {u64 address, size; u32 flags, handle}
            command::GEM_USERPTR => words.add(5).write(handle()),
            // {u32 context, size; u64 param, value}: 3 is the size of the address space
            command::GEM_CONTEXT_GETPARAM => longs.add(2).write(if longs.add(1).read() == 3 { 1 << 48 } else { 0 }),
            // The layout of the engines: none is told, and ANV takes one of each.
            command::QUERY => return invalid(),
            // {u64 extensions; u32 flags, id}
            command::GEM_VM_CREATE => words.add(3).write(handle()),
            _ => {}
        }
    }
    0
}

/// Returns the value of `I915_PARAM_*`: what can be done, can be done.
fn parameter(name: u32) -> c_int {
    match name {
        6 => 8,           // NUM_FENCES_AVAIL
        18 => 3,          // HAS_ALIASING_PPGTT: of a process of its own
        28 => 10,         // CMD_PARSER_VERSION
        40 => 4,          // MMAP_GTT_VERSION
        51 => 12_000_000, // CS_TIMESTAMP_FREQUENCY
        _ => 1,
    }
}

fn invalid() -> c_int {
    // SAFETY: the C library's error number of this thread.
    unsafe { libc::__errno_location().write(libc::EINVAL) };
    -1
}
