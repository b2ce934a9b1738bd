//! Trainable tensors by their Hugging Face names, their AdamW states, and checkpoints.
//!
//! Every parameter is a matrix. Vectors are `[1, n]`. Linear weights are stored `[in, out]`; Hugging Face stores
//! `[out, in]`, and [`export`](super::export) transposes. The master copies carry no gradients. Each worker makes
//! [`Leaves`] of them for one step, so that no two threads share an autodiff graph.

use super::packs::{Pack, States};
use crate::error::{Error, Kind, Result};
use burn::optim::{AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, Optimizer};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::collections::BTreeMap;
use std::path::Path;

/// A parameter or activation matrix.
pub type Matrix = Tensor<2>;

/// The master copies of all parameters, with the optimizer state.
pub struct Params {
    device: Device,
    tensors: BTreeMap<String, Matrix>,
    states: States,
    /// Parameters of fewer values than this are updated together.
    packed_below: usize,
    packs: Vec<Pack>,
}

/// The constants of an AdamW step.
#[derive(Debug, Clone, Copy)]
pub struct AdamRule {
    /// Weight decay of matrices; vectors and tables have none.
    pub decay: f32,
    /// Decay of the second moment.
    pub beta_2: f32,
    /// Factor of the summed gradients.
    pub share: f32,
}

/// The tensors of one forward pass: trainable ones are autodiff leaves, frozen ones are constants.
pub struct Leaves {
    tensors: BTreeMap<String, Matrix>,
    trainable: Vec<String>,
}

impl Leaves {
    /// Returns the parameter `name`.
    ///
    /// # Panics
    /// When it does not exist: the model asks only for parameters that its `init` made.
    pub fn get(&self, name: &str) -> Matrix {
        match self.tensors.get(name) {
            Some(tensor) => tensor.clone(),
            None => panic!("no parameter {name}"),
        }
    }

    /// Returns the parameter `name`, if it exists.
    pub fn find(&self, name: &str) -> Option<Matrix> {
        self.tensors.get(name).cloned()
    }

    /// Removes the gradients of the trainable tensors from `gradients`; returns them by name.
    pub fn gradients(&self, gradients: &mut Gradients) -> BTreeMap<String, Matrix> {
        let one = |name: &String| Some((name.clone(), self.tensors.get(name)?.grad_remove(gradients)?));
        self.trainable.iter().filter_map(one).collect()
    }
}

impl Params {
    /// Makes an empty set of parameters on `device`.
    pub fn new(device: Device) -> Self {
        Self { device, tensors: BTreeMap::new(), states: States::new(), packed_below: 0, packs: Vec::new() }
    }

    /// Updates parameters of fewer than `values` values together: fewer operations, for a GPU.
    pub fn pack_below(&mut self, values: usize) {
        self.unpack();
        self.packed_below = values;
    }

    /// Gives packed parameters their own moments back.
    fn unpack(&mut self) {
        let packs = std::mem::take(&mut self.packs);
        self.states.extend(packs.iter().flat_map(Pack::states));
    }

    /// Returns the device, without autodiff.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Moves parameters and moments to another device.
    pub fn to_device(&mut self, device: &Device) {
        self.unpack();
        let move_one = |tensor: Matrix| tensor.to_device(device);
        self.tensors = std::mem::take(&mut self.tensors).into_iter().map(|(n, t)| (n, move_one(t))).collect();
        self.states = std::mem::take(&mut self.states)
            .into_iter()
            .map(|(name, state)| (name, <AdamW as Optimizer>::to_device::<2>(state, device)))
            .collect();
        self.device = device.clone();
    }

    /// Adds `name` `[rows, columns]` with normally distributed values of the given standard deviation.
    pub fn normal(&mut self, name: String, shape: [usize; 2], deviation: f32, rng: &mut ChaCha8Rng) {
        let values = (0..shape[0] * shape[1]).map(|_| gaussian(rng) * deviation).collect();
        self.set(name, shape, values);
    }

    /// Adds `name` `[rows, columns]` with values uniform within `±bound`.
    pub fn uniform(&mut self, name: String, shape: [usize; 2], bound: f32, rng: &mut ChaCha8Rng) {
        let values = (0..shape[0] * shape[1]).map(|_| rng.random_range(-bound..bound)).collect();
        self.set(name, shape, values);
    }

    /// Adds `name` filled with one value.
    pub fn constant(&mut self, name: String, shape: [usize; 2], value: f32) {
        self.set(name, shape, vec![value; shape[0] * shape[1]]);
    }

    /// Adds or replaces `name`.
    pub fn set(&mut self, name: String, shape: [usize; 2], values: Vec<f32>) {
        let tensor = Tensor::from_data(TensorData::new(values, shape), &self.device);
        self.put(name, tensor);
    }

    /// Adds or replaces `name`.
    pub fn put(&mut self, name: String, tensor: Matrix) {
        self.unpack();
        self.tensors.insert(name, tensor);
    }

    /// Removes `name`, with its moments.
    pub fn remove(&mut self, name: &str) -> Option<Matrix> {
        self.unpack();
        self.states.remove(name);
        self.tensors.remove(name)
    }

    /// Returns the names, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Returns the shape of `name`.
    pub fn shape(&self, name: &str) -> Option<[usize; 2]> {
        self.tensors.get(name).map(Tensor::dims)
    }

    /// Returns shape and values of `name`.
    pub fn get(&self, name: &str) -> Option<([usize; 2], Vec<f32>)> {
        self.tensors.get(name).map(|tensor| (tensor.dims(), floats(tensor.clone())))
    }

    /// Returns name, shape and values of every parameter.
    pub fn values(&self) -> impl Iterator<Item = (&str, [usize; 2], Vec<f32>)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.dims(), floats(tensor.clone())))
    }

    /// Returns name and shape of every parameter.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, [usize; 2])> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.dims()))
    }

    /// Counts the values of all parameters whose names begin with `prefix`.
    pub fn count(&self, prefix: &str) -> usize {
        let with = self.tensors.iter().filter(|(name, _)| name.starts_with(prefix));
        with.map(|(_, tensor)| tensor.dims().iter().product::<usize>()).sum()
    }

    /// Copies the parameters for a forward pass; those for which `trainable` holds record gradients.
    pub fn leaves(&self, trainable: impl Fn(&str) -> bool) -> Leaves {
        let names = self.tensors.keys().filter(|name| trainable(name)).cloned().collect();
        let tensors = self.tensors.iter().map(|(name, tensor)| {
            let tensor = tensor.clone();
            (name.clone(), if trainable(name) { tensor.autodiff().require_grad() } else { tensor })
        });
        Leaves { tensors: tensors.collect(), trainable: names }
    }

    /// Applies one AdamW step to the averaged gradients of the workers, clipped to a global norm of 1, each parameter with
    /// the learning rate that `rate` returns for its name.
    ///
    /// Returns the norm before clipping. A norm that is not finite skips the step.
    pub fn step(&mut self, workers: Vec<BTreeMap<String, Matrix>>, decay: f32, rate: impl Fn(&str) -> f64) -> f32 {
        let share = 1.0 / workers.len() as f32;
        let rule = AdamRule { decay, beta_2: 0.98, share };
        self.step_with(workers, &rule, rate)
    }

    /// Applies one AdamW step to the sum of the gradients times `rule.share`, clipped to a global norm of 1, each
    /// parameter with the learning rate that `rate` returns for its name.
    ///
    /// Returns the norm before clipping. A norm that is not finite skips the step.
    pub fn step_with(
        &mut self,
        workers: Vec<BTreeMap<String, Matrix>>,
        rule: &AdamRule,
        rate: impl Fn(&str) -> f64,
    ) -> f32 {
        let mut sums: BTreeMap<String, Matrix> = BTreeMap::new();
        for gradients in workers {
            for (name, gradient) in gradients {
                let sum = match sums.remove(&name) {
                    Some(sum) => sum + gradient,
                    None => gradient,
                };
                sums.insert(name, sum);
            }
        }
        // Vectors (norms, biases) and tables are not decayed.
        let rule_of = |name: &str, gradient: &Matrix| (gradient.dims()[0] > 1 && !name.contains("embed"), rate(name));
        let packed = self.pack(&mut sums, &rule_of);
        // One value is read back per step: on a GPU each read-back waits for all work.
        let all = sums.values().chain(packed.iter().map(|(_, gradient)| gradient));
        let squares: Vec<Tensor<1>> = all.map(|g| g.clone().square().sum()).collect();
        let square: f32 = if squares.is_empty() { 0.0 } else { Tensor::cat(squares, 0).sum().into_scalar() };
        let norm = square.sqrt() * rule.share;
        if !norm.is_finite() {
            return norm;
        }
        let scale = rule.share * (1.0 / norm.max(1e-9)).min(1.0);
        let config = AdamWConfig::new().with_beta_2(rule.beta_2).with_epsilon(1e-8);
        let optimizers = [0.0, rule.decay].map(|decay| config.clone().with_weight_decay(decay).build());
        for (name, gradient) in sums {
            let (decayed, rate) = rule_of(&name, &gradient);
            let Some(tensor) = self.tensors.remove(&name) else { continue };
            let (optimizer, state) = (&optimizers[usize::from(decayed)], self.states.remove(&name));
            let (tensor, state) = optimizer.step(rate, tensor, gradient.mul_scalar(scale), state);
            self.tensors.insert(name.clone(), tensor);
            self.states.extend(state.map(|state| (name, state)));
        }
        for (pack, ((decayed, rate), gradient)) in self.packs.iter_mut().zip(packed) {
            let (values, state) = (pack.values.clone(), pack.state.take());
            (pack.values, pack.state) =
                optimizers[usize::from(decayed)].step(rate, values, gradient.mul_scalar(scale), state);
            self.tensors.extend(pack.tensors().map(|(name, tensor)| (name.clone(), tensor)));
        }
        norm
    }

    /// Moves the gradients of small parameters out of `sums`, joined in the order of the packs, with what `rule_of`
    /// returns for them: whether they are decayed, and their rate.
    fn pack(
        &mut self,
        sums: &mut BTreeMap<String, Matrix>,
        rule_of: &impl Fn(&str, &Matrix) -> (bool, f64),
    ) -> Vec<((bool, f64), Matrix)> {
        let mut groups: Vec<((bool, f64), Vec<&String>)> = Vec::new();
        for (name, gradient) in sums.iter() {
            if gradient.dims().iter().product::<usize>() < self.packed_below {
                let rule = rule_of(name, gradient);
                match groups.iter_mut().find(|(own, _)| *own == rule) {
                    Some((_, names)) => names.push(name),
                    None => groups.push((rule, vec![name])),
                }
            }
        }
        let same = self.packs.len() == groups.len();
        if !(same && self.packs.iter().zip(&groups).all(|(pack, (_, names))| pack.holds(names))) {
            self.unpack();
            for (_, names) in &groups {
                let Some(pack) = Pack::new(names, &self.tensors, &mut self.states) else {
                    // Parameters that have taken different numbers of steps are updated one by one.
                    self.unpack();
                    return Vec::new();
                };
                self.packs.push(pack);
            }
        }
        let joined = |names: &[&String]| Pack::gradient(names.iter().filter_map(|name| sums.get(*name).cloned()));
        let packed: Vec<_> = groups.iter().map(|(rule, names)| (*rule, joined(names))).collect();
        let names: Vec<String> = groups.into_iter().flat_map(|(_, names)| names).cloned().collect();
        names.iter().for_each(|name| drop(sums.remove(name)));
        packed
    }

    /// Forgets the optimizer's moments: a new stage begins.
    pub fn reset_optimizer(&mut self) {
        self.states.clear();
        self.packs.clear();
    }

    /// Writes the parameters for which `part` holds, all moments and `note` as one safetensors file. An earlier file is
    /// replaced atomically.
    ///
    /// # Errors
    /// [`Kind::Io`] when the file cannot be written.
    pub fn save(&self, path: &Path, note: &str, part: impl Fn(&str) -> bool) -> Result<()> {
        let mut all: Vec<(String, [usize; 2], Vec<u8>)> = Vec::new();
        let mut put = |name: String, tensor: &Matrix| {
            all.push((name, tensor.dims(), bytemuck::cast_slice(&floats(tensor.clone())).to_vec()));
        };
        for (name, tensor) in self.tensors.iter().filter(|(name, _)| part(name)) {
            put(name.clone(), tensor);
        }
        let mut states = self.states.clone();
        states.extend(self.packs.iter().flat_map(Pack::states));
        for (name, state) in &states {
            put(format!("adam.m.{}.{name}", state.momentum.time), &state.momentum.moment_1);
            put(format!("adam.v.{}.{name}", state.momentum.time), &state.momentum.moment_2);
        }
        let io = |e: String| Error::new(Kind::Io, path.display().to_string(), e);
        let views: std::result::Result<Vec<_>, _> = all
            .iter()
            .map(|(name, shape, bytes)| Ok((name, TensorView::new(Dtype::F32, shape.to_vec(), bytes)?)))
            .collect::<std::result::Result<_, safetensors::SafeTensorError>>();
        let meta = std::collections::HashMap::from([("note".to_owned(), note.to_owned())]);
        let bytes =
            safetensors::serialize(views.map_err(|e| io(e.to_string()))?, Some(meta)).map_err(|e| io(e.to_string()))?;
        let partial = path.with_extension("partial");
        std::fs::write(&partial, bytes).and_then(|()| std::fs::rename(&partial, path)).map_err(|e| io(e.to_string()))
    }

    /// Loads a file of [`Params::save`] into the existing parameters; returns the note.
    ///
    /// # Errors
    /// [`Kind::Tensor`] when the file does not fit the model, [`Kind::Io`] when it cannot be read.
    pub fn load(&mut self, path: &Path) -> Result<String> {
        let place = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|e| Error::new(Kind::Io, &place, e.to_string()))?;
        let bad = |e: String| Error::new(Kind::Tensor, &place, e);
        let (_, meta) = SafeTensors::read_metadata(&bytes).map_err(|e| bad(e.to_string()))?;
        let file = SafeTensors::deserialize(&bytes).map_err(|e| bad(e.to_string()))?;
        let matrix = |view: &TensorView<'_>| -> Result<Matrix> {
            let [rows, columns] = view.shape() else { return Err(bad("a tensor is not a matrix".to_owned())) };
            let values: Vec<f32> = bytemuck::pod_collect_to_vec(view.data());
            Ok(Tensor::from_data(TensorData::new(values, [*rows, *columns]), &self.device))
        };
        let mut tensors = BTreeMap::new();
        let mut moments: BTreeMap<String, (usize, Matrix)> = BTreeMap::new();
        let mut states = BTreeMap::new();
        for (name, view) in file.tensors() {
            let parts: Vec<&str> = name.splitn(4, '.').collect();
            match parts.as_slice() {
                ["adam", "m", time, name] => {
                    let time = time.parse().map_err(|_| bad(format!("{name}: not a step: {time}")))?;
                    moments.insert((*name).to_owned(), (time, matrix(&view)?));
                }
                ["adam", "v", ..] => {}
                _ => drop(tensors.insert(name.to_owned(), matrix(&view)?)),
            }
        }
        for (name, (time, first)) in moments {
            let view = file.tensor(&format!("adam.v.{time}.{name}")).map_err(|e| bad(e.to_string()))?;
            states.insert(name, AdamWState::new(AdaptiveMomentumState::new(time, first, matrix(&view)?)));
        }
        for (name, tensor) in &tensors {
            if self.tensors.get(name).map(Tensor::dims) != Some(tensor.dims()) {
                return Err(bad(format!("{name} {:?} is not a parameter of this model", tensor.dims())));
            }
        }
        self.packs.clear();
        self.tensors.extend(tensors);
        self.states = states;
        Ok(meta.metadata().as_ref().and_then(|m| m.get("note").cloned()).unwrap_or_default())
    }
}

/// Reads the values of a tensor.
pub fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap_or_default()
}

/// Draws one standard normal value.
///
/// # Source
/// Box and Muller, 1958.
fn gaussian(rng: &mut ChaCha8Rng) -> f32 {
    let (u, v): (f32, f32) = (rng.random_range(1e-7..1.0), rng.random());
    (-2.0 * u.ln()).sqrt() * (std::f32::consts::TAU * v).cos()
}

#[cfg(test)]
mod tests;
