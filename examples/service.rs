//! Several callers share one batch: `cargo run --release --example service -- "ROMEO:" "KING" "To be"`.
//!
//! Each prompt is a caller of its own with a thread; tokens come to it as they are drawn.

use gatefold::unstable::generate::{Options, Request};
use gatefold::unstable::gpu::DeviceChoice;
use gatefold::unstable::host::{Device, Service, generator, open_model};
use gatefold::unstable::text::{Decoder, OnUnknown};

fn main() -> gatefold::Result<()> {
    let mut prompts: Vec<String> = std::env::args().skip(1).collect();
    if prompts.is_empty() {
        prompts = ["ROMEO:", "KING", "To be"].map(String::from).into();
    }
    let model = open_model("builtin:shakespeare")?;
    let of_service = model.clone();
    let service = Service::start(move || generator(&of_service, &Device::choose(&DeviceChoice::Auto, None)?, 8, true))?;
    std::thread::scope(|scope| {
        for (i, prompt) in prompts.iter().enumerate() {
            let (service, model) = (&service, &model);
            scope.spawn(move || match answer(service, model, prompt, i as u64) {
                Ok(text) => println!("--- {prompt}\n{text}"),
                Err(error) => eprintln!("--- {prompt}: {error}"),
            });
        }
    });
    Ok(())
}

fn answer(
    service: &Service,
    model: &gatefold::unstable::model::Model,
    prompt: &str,
    sequence: u64,
) -> gatefold::Result<String> {
    let request = Request {
        prompt: model.prompt_ids(prompt, OnUnknown::Error)?.into(),
        sequence,
        seed: 42,
        options: Options { top_p: 0.95, ..Options::at(0.8) },
        max_tokens: 80,
        stop: model.eos_ids(),
        source: [].into(),
    };
    let (mut decoder, mut text) = (Decoder::new(&model.tokenizer), String::new());
    for event in service.submit(request) {
        decoder.push(event?.token, &mut text)?;
    }
    decoder.finish(&mut text);
    Ok(text)
}
