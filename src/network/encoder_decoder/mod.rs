//! From one text to another: an encoder reads the source, a decoder writes the target and attends to what was read.

mod attending;
mod decoder;
mod encoder;
mod parts;
mod shape;
mod training;
mod translation;

pub use shape::{
    Attention, Bridge, CellState, Coupling, Encoder, EncoderDecoder, Feed, Misfit, Pool, Query, Readout, ReadoutInput,
    Score,
};
pub(super) use training::training;
pub use translation::{Translation, translation};
