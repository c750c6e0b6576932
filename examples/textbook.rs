//! The textbook's recurrent model: embedding 10,000 x 128, LSTM 256, dense to the vocabulary, Adam, sparse
//! cross-entropy from logits. It learns that 2..6 follow 1..5, in ten epochs, the state carried over.
//!
//!     cargo run --release --example textbook

use gatefold::unstable::gpu::DeviceChoice;
use gatefold::unstable::host::Device;
use gatefold::unstable::model::initial_weights;
use gatefold::unstable::network::{Cell, Optimizer, Recipe, Shape};
use gatefold::unstable::train::Window;

fn main() -> gatefold::Result<()> {
    let recipe = Recipe {
        shape: Shape { cell: Cell::Lstm, vocab: 10_000, embedding: 128, hidden: 256, layers: 1 },
        tied: false,
        rows: 1,
        time: 5,
        dropout: 0.0,
        seed: 1,
        optimizer: Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0, decoupled: false },
        clip: None,
        pairs: None,
    };
    let device = Device::choose(&DeviceChoice::Auto, None)?;
    let mut engine = device.engine(&recipe)?;
    engine.restore(0, &initial_weights(&recipe.shape, recipe.seed))?;
    println!("{}", engine.device());
    for epoch in 0..10 {
        let (input, targets) = ((1..6).collect(), (2..7).collect());
        engine.submit(&Window { time: 5, input, targets, starts: vec![epoch == 0], sources: None }, 1e-3)?;
    }
    for outcome in engine.take()? {
        println!("epoch {:2}: {:.6} nats, gradient norm {:.4}", outcome.step + 1, outcome.loss, outcome.gradient_norm);
    }
    Ok(())
}
