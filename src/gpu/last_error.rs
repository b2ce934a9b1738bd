//! What a device reports on its own: complaints, and its loss.

use crate::error::{Error, Kind};
use std::sync::{Arc, Mutex};

/// That the device is gone, and what to do.
pub(super) fn lost(why: &str) -> Error {
    let colon = if why.is_empty() { "" } else { ": " };
    let message = format!("the GPU device was lost{colon}{why}");
    Error::new(Kind::GpuLost, "GPU", message).hint("a new device has to be opened and the model loaded again")
}

/// Remembers the first error that the device reports on its own, or that it was lost.
pub(super) fn watch(device: &wgpu::Device, last_error: &Arc<Mutex<Option<Error>>>) {
    let slot = last_error.clone();
    device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
        let kind = if matches!(error, wgpu::Error::OutOfMemory { .. }) { Kind::OutOfMemory } else { Kind::Gpu };
        if let Ok(mut slot) = slot.lock() {
            slot.get_or_insert(Error::new(kind, "GPU", error.to_string()));
        }
    }));
    let slot = last_error.clone();
    // Also when it was destroyed: we do that only when nobody looks any more.
    device.set_device_lost_callback(move |_, message| {
        if let Ok(mut slot) = slot.lock() {
            // Complaints may precede the loss that they come from; running out of memory is worth knowing.
            if !slot.as_ref().is_some_and(|e| e.kind == Kind::OutOfMemory) {
                *slot = Some(lost(&message));
            }
        }
    });
}
