//! The errors that a device reports outside any error scope, and its loss.

use crate::error::{Error, Kind};
use std::sync::{Arc, Mutex};

/// Returns the error of a lost device, with what to do.
pub(super) fn lost(why: &str) -> Error {
    let colon = if why.is_empty() { "" } else { ": " };
    let message = format!("the GPU device was lost{colon}{why}");
    Error::new(Kind::GpuLost, "GPU", message).hint("a new device has to be opened and the model loaded again")
}

/// Stores the first error that the device reports outside any scope, or its loss.
pub(super) fn watch(device: &wgpu::Device, last_error: &Arc<Mutex<Option<Error>>>) {
    let slot = last_error.clone();
    device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
        let kind = if matches!(error, wgpu::Error::OutOfMemory { .. }) { Kind::OutOfMemory } else { Kind::Gpu };
        if let Ok(mut slot) = slot.lock() {
            slot.get_or_insert(Error::new(kind, "GPU", error.to_string()));
        }
    }));
    let slot = last_error.clone();
    // `destroy` calls this too, but the slot is not read after it.
    device.set_device_lost_callback(move |_, message| {
        if let Ok(mut slot) = slot.lock() {
            // Errors may precede the loss that caused them. Only a lack of memory says more than the loss does.
            if !slot.as_ref().is_some_and(|e| e.kind == Kind::OutOfMemory) {
                *slot = Some(lost(&message));
            }
        }
    });
}
