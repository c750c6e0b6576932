// Weights stored as f32: four k of a unit are a vec4.

alias Stored = vec4<f32>;

fn load_weight(stored: Stored) -> vec4<f32> {
    return stored;
}
