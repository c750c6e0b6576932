//! The results of a submission: a staging buffer on its way to the host.

use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex};

use crate::error::{DeviceFault, Error, Result};
use crate::plan::TensorId;

/// Called once, when results have arrived.
pub(super) type Callback = Box<dyn FnOnce() + Send>;

/// A buffer that a submission fills for the host.
pub(super) fn staging(device: &wgpu::Device, label: &str, bytes: u64) -> wgpu::Buffer {
    device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(label),
        size: bytes.max(16),
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}

/// Results of a submission, copied into a staging buffer that is mapped when they are there.
pub(super) struct Readback {
    staging: wgpu::Buffer,
    /// Tensors with the range of their words in the staging buffer.
    pub reads: Vec<(TensorId, Range<usize>)>,
    pub submission: wgpu::SubmissionIndex,
    arrival: Arc<Arrival>,
}

/// State that the mapping callback shares with the executor.
#[derive(Default)]
struct Arrival {
    news: Mutex<News>,
    came: Condvar,
}

#[derive(Default)]
struct News {
    outcome: Option<std::result::Result<(), String>>,
    then: Option<Callback>,
}

impl Readback {
    /// Asks for the mapping of a staging buffer that a submission fills.
    pub fn map(
        staging: wgpu::Buffer,
        reads: Vec<(TensorId, Range<usize>)>,
        submission: wgpu::SubmissionIndex,
    ) -> Readback {
        let arrival = Arc::new(Arrival::default());
        let shared = arrival.clone();
        staging.slice(..).map_async(wgpu::MapMode::Read, move |outcome| {
            let then = {
                let mut news = shared.news.lock().expect("unpoisoned");
                news.outcome = Some(outcome.map_err(|e| e.to_string()));
                news.then.take()
            };
            shared.came.notify_all();
            if let Some(then) = then {
                then();
            }
        });
        Readback { staging, reads, submission, arrival }
    }

    /// Whether the words are there, or will never be.
    pub fn has_arrived(&self) -> bool {
        self.arrival.news.lock().expect("unpoisoned").outcome.is_some()
    }

    /// Calls `then` when the words are there: at once if they are.
    pub fn on_arrival(&self, then: Callback) {
        let mut news = self.arrival.news.lock().expect("unpoisoned");
        if news.outcome.is_none() {
            news.then = Some(then);
        } else {
            drop(news);
            then();
        }
    }

    /// Blocks until the callback of a submission that has run was called: another executor's thread on this device
    /// may have taken it from the queue and be about to call it.
    pub fn wait_for_news(&self) {
        let news = self.arrival.news.lock().expect("unpoisoned");
        drop(self.arrival.came.wait_while(news, |news| news.outcome.is_none()).expect("unpoisoned"));
    }

    /// The words of all reads; `device` is the name in messages.
    ///
    /// # Errors
    /// The mapping failed.
    pub fn words(&self, device: &str) -> Result<Vec<u32>> {
        let failed = |e: String| Error::Device {
            device: device.into(),
            fault: DeviceFault::Failed { reason: format!("results could not be read back: {e}") },
        };
        let outcome = self.arrival.news.lock().expect("unpoisoned").outcome.take();
        outcome.expect("the words have arrived").map_err(failed)?;
        let view = self.staging.slice(..).get_mapped_range().map_err(|e| failed(e.to_string()))?;
        Ok(bytemuck::cast_slice(&view).to_vec())
    }
}
