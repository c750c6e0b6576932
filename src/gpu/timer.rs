//! GPU time of a submission by timestamp queries.

/// Where an adapter can take timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timestamps {
    /// Between dispatches.
    InsidePasses,
    /// Only where a pass begins and ends.
    AroundPasses,
}

impl Timestamps {
    /// The timestamps of an adapter with these features.
    pub fn of(features: wgpu::Features) -> Option<Timestamps> {
        [Timestamps::InsidePasses, Timestamps::AroundPasses].into_iter().find(|t| features.contains(t.features()))
    }

    /// The features that a device must be opened with.
    pub fn features(self) -> wgpu::Features {
        match self {
            Timestamps::InsidePasses => wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES,
            Timestamps::AroundPasses => wgpu::Features::TIMESTAMP_QUERY,
        }
    }
}

/// Two timestamps, before the first and after the last dispatch of a pass.
///
/// Submissions run in order and each resolves its own before it ends, so one pair serves all of them.
pub(super) struct Timer {
    place: Timestamps,
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    tick_us: f64,
}

impl Timer {
    /// Bytes of the two timestamps.
    pub const BYTES: u64 = 16;

    /// A timer, on a device that was opened with timestamps.
    pub fn new(device: &wgpu::Device, queue: &wgpu::Queue, place: Timestamps) -> Timer {
        let set = device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("timestamps"),
            ty: wgpu::QueryType::Timestamp,
            count: 2,
        });
        let resolved = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("timestamps"),
            size: Timer::BYTES,
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        Timer { place, set, resolved, tick_us: f64::from(queue.get_timestamp_period()) / 1e3 }
    }

    /// Timestamps that the pass itself writes.
    pub fn around(&self) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        (self.place == Timestamps::AroundPasses).then_some(wgpu::ComputePassTimestampWrites {
            query_set: &self.set,
            beginning_of_pass_write_index: Some(0),
            end_of_pass_write_index: Some(1),
        })
    }

    /// Before the first dispatch.
    pub fn begin(&self, pass: &mut wgpu::ComputePass<'_>) {
        if self.place == Timestamps::InsidePasses {
            pass.write_timestamp(&self.set, 0);
        }
    }

    /// After the last dispatch.
    pub fn end(&self, pass: &mut wgpu::ComputePass<'_>) {
        if self.place == Timestamps::InsidePasses {
            pass.write_timestamp(&self.set, 1);
        }
    }

    /// Copies both timestamps to a place of a staging buffer.
    pub fn read(&self, encoder: &mut wgpu::CommandEncoder, staging: &wgpu::Buffer, at: u64) {
        encoder.resolve_query_set(&self.set, 0..2, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, staging, at, Timer::BYTES);
    }

    /// Microseconds between the two, from the words that were read. A clock that was set back counts as nothing.
    pub fn elapsed_us(&self, words: &[u32]) -> f64 {
        let ticks = |i: usize| u64::from(words[i]) | u64::from(words[i + 1]) << 32;
        ticks(2).saturating_sub(ticks(0)) as f64 * self.tick_us
    }
}
