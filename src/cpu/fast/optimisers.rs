//! Steps of optimisers on flat tensors; see [`crate::ops::adam`] and [`crate::ops::sgd`].

use super::parts::{Shared, for_chunks};
use super::simd::{Kernel, LANES, Lanes, Level};
use crate::cpu::FastArgs;
use crate::ops::schedule::{self, CLIP_COLUMNS, CLIP_SCALE, LEARNING_RATE};

/// A step of Adam; parameters, gradients, first, second `[n]`, schedule `[S, 4]`, clips `[S, 2]`.
pub fn adam(args: &mut FastArgs<'_>) {
    adam_at(Level::best(), args);
}

pub(super) fn adam_at(level: Level, args: &mut FastArgs<'_>) {
    let ([slot], decoupled) = (args.sizes(), args.words["decoupled"] == 1);
    let [beta1, beta2, one_minus_beta1, one_minus_beta2, epsilon, decay] =
        ["beta1", "beta2", "one_minus_beta1", "one_minus_beta2", "epsilon", "decay"]
            .map(|name| args.words.float::<f32>(name));
    let [parameters, gradients, first, second, schedule, clips] = &mut args.operands[..] else {
        unreachable!("adam has six operands")
    };
    let [lr, inverse_bias1, inverse_sqrt_bias2, _] = schedule::at(schedule.real(), slot);
    let constants = AdamConstants {
        betas: [beta1, beta2],
        shares: [one_minus_beta1, one_minus_beta2],
        epsilon,
        scale: clips.real()[slot * CLIP_COLUMNS + CLIP_SCALE],
        kept: if decoupled { (-lr).mul_add(decay, 1.0) } else { 1.0 },
        decay: if decoupled { 0.0 } else { decay },
        rate: lr * inverse_bias1,
        inverse_sqrt_bias2,
    };
    let (parameters, gradients) = (Shared::new(parameters.real_mut()), gradients.real());
    let (first, second) = (Shared::new(first.real_mut()), Shared::new(second.real_mut()));
    for_chunks(args.pool, gradients.len(), |range| {
        let (start, len) = (range.start, range.len());
        // SAFETY: this chunk's.
        let (p, m, v) = unsafe { (parameters.part(start, len), first.part(start, len), second.part(start, len)) };
        level.run(Adam { p, g: &gradients[range], m, v, constants });
    });
}

/// The constants that all elements of a step share.
#[derive(Clone, Copy)]
struct AdamConstants {
    betas: [f32; 2],
    /// 1 - beta.
    shares: [f32; 2],
    epsilon: f32,
    scale: f32,
    /// The factor that a decoupled decay leaves of a parameter.
    kept: f32,
    /// The decay that is part of the gradient.
    decay: f32,
    rate: f32,
    inverse_sqrt_bias2: f32,
}

struct Adam<'a> {
    p: &'a mut [f32],
    g: &'a [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
    constants: AdamConstants,
}

impl Kernel for Adam<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        let c = self.constants;
        let [beta1, beta2] = c.betas.map(V::splat);
        let [one_minus_beta1, one_minus_beta2] = c.shares.map(V::splat);
        let (scale, kept, decay) = (V::splat(c.scale), V::splat(c.kept), V::splat(c.decay));
        let (less_rate, unbias) = (V::splat(-c.rate), V::splat(c.inverse_sqrt_bias2));
        let epsilon = V::splat(c.epsilon);
        let moments = self.m.chunks_mut(LANES).zip(self.v.chunks_mut(LANES));
        for ((p, g), (m, v)) in self.p.chunks_mut(LANES).zip(self.g.chunks(LANES)).zip(moments) {
            let before = V::load_padded(p, 0.0);
            let g = decay.mul_add(before, V::load_padded(g, 0.0).mul(scale));
            let new_m = beta1.mul_add(V::load_padded(m, 0.0), one_minus_beta1.mul(g)).normal_or_zero();
            let new_v = beta2.mul_add(V::load_padded(v, 0.0), one_minus_beta2.mul(g).mul(g)).normal_or_zero();
            let root = new_v.sqrt().mul_add(unbias, epsilon);
            new_m.store_cut(m);
            new_v.store_cut(v);
            less_rate.mul_add(new_m.div(root), before.mul(kept)).store_cut(p);
        }
    }
}

/// A step of gradient descent; parameters, gradients, momentum `[n]`, schedule `[S, 4]`, clips `[S, 2]`.
pub fn sgd(args: &mut FastArgs<'_>) {
    sgd_at(Level::best(), args);
}

pub(super) fn sgd_at(level: Level, args: &mut FastArgs<'_>) {
    let [slot] = args.sizes();
    let [mu, decay] = ["mu", "decay"].map(|name| args.words.float::<f32>(name));
    let [parameters, gradients, momentum, schedule, clips] = &mut args.operands[..] else {
        unreachable!("sgd has five operands")
    };
    let rate = schedule::at(schedule.real(), slot)[LEARNING_RATE];
    let scale = clips.real()[slot * CLIP_COLUMNS + CLIP_SCALE];
    let (parameters, momentum) = (Shared::new(parameters.real_mut()), Shared::new(momentum.real_mut()));
    let gradients = gradients.real();
    for_chunks(args.pool, gradients.len(), |range| {
        // SAFETY: this chunk's.
        let (p, velocity) =
            unsafe { (parameters.part(range.start, range.len()), momentum.part(range.start, range.len())) };
        level.run(Sgd { p, g: &gradients[range], velocity, mu, decay, scale, rate });
    });
}

struct Sgd<'a> {
    p: &'a mut [f32],
    g: &'a [f32],
    velocity: &'a mut [f32],
    mu: f32,
    decay: f32,
    scale: f32,
    rate: f32,
}

impl Kernel for Sgd<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        let (mu, decay) = (V::splat(self.mu), V::splat(self.decay));
        let (scale, less_rate) = (V::splat(self.scale), V::splat(-self.rate));
        let parameters = self.p.chunks_mut(LANES).zip(self.g.chunks(LANES));
        for ((p, g), velocity) in parameters.zip(self.velocity.chunks_mut(LANES)) {
            let before = V::load_padded(p, 0.0);
            let g = decay.mul_add(before, V::load_padded(g, 0.0).mul(scale));
            let new = mu.mul_add(V::load_padded(velocity, 0.0), g).normal_or_zero();
            new.store_cut(velocity);
            less_rate.mul_add(new, before).store_cut(p);
        }
    }
}
