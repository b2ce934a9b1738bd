//! Loading as a state machine that is pushed into, in any order: `new` → `push` … → `finish`.
//!
//! The caller fetches the parts of a blueprint and pushes them as they arrive. Each tensor is uploaded immediately, so
//! that memory holds the parts in flight and never the model.

mod buffers;
mod components;

use super::{CacheType, Model};
use crate::device::Device;
use crate::ensure;
use crate::error::Result;
use crate::format::blueprint::{Blueprint, TypeChoice};
use crate::format::hash;
use crate::pass::Op;
use buffers::WeightBuffers;
use std::collections::HashSet;

/// Loads the weights of a model by its blueprint.
pub struct WeightLoader {
    device: Device,
    blueprint: Blueprint,
    pushed: Vec<bool>,
    /// Hash of each pushed part.
    hashes: Vec<[u8; 32]>,
    weights: WeightBuffers,
    /// How the model will store keys and values.
    pub cache_type: CacheType,
}

impl WeightLoader {
    /// Starts with no parts pushed.
    ///
    /// # Errors
    /// [`Kind::OutOfMemory`](crate::error::Kind::OutOfMemory).
    pub async fn new(mut device: Device, blueprint: Blueprint) -> Result<Self> {
        let weights = WeightBuffers::new(&mut device, &blueprint).await?;
        let (pushed, hashes) = (vec![false; blueprint.parts.len()], vec![[0; 32]; blueprint.parts.len()]);
        let cache_type = Model::usual_cache_type(&blueprint.config);
        Ok(Self { device, blueprint, pushed, hashes, weights, cache_type })
    }

    /// The plan that is followed.
    pub fn blueprint(&self) -> &Blueprint {
        &self.blueprint
    }

    /// The plan, to be changed before the first part is pushed.
    pub fn blueprint_mut(&mut self) -> &mut Blueprint {
        &mut self.blueprint
    }

    /// Stores the matrices of a checkpoint as the types that `wanted` chooses.
    ///
    /// # Errors
    /// [`Kind::State`](crate::error::Kind::State) once a part has been pushed; what [`Blueprint::tensors_as`] reports.
    pub fn set_weight_types(&mut self, wanted: TypeChoice) -> Result<()> {
        ensure!(!self.pushed.contains(&true), State, "weights", "some are loaded already, and stay as they are");
        self.blueprint.tensors = self.blueprint.tensors_as(wanted)?;
        self.weights.restack(&self.device, &self.blueprint);
        Ok(())
    }

    /// The device that the weights are loaded to.
    pub fn device(&mut self) -> &mut Device {
        &mut self.device
    }

    /// Returns one operation for every pipeline that the model's passes will need, in order of use, as the device is
    /// tuned now. No part needs to have been pushed.
    ///
    /// # Errors
    /// [`Kind::Tensor`](crate::error::Kind::Tensor) when something would not fit a binding.
    pub async fn pipelines(&self, context: u32) -> Result<Vec<Op>> {
        let mut ledger = self.device.without_memory();
        let mut weights = WeightBuffers::new(&mut ledger, &self.blueprint).await?;
        for tensor in &self.blueprint.tensors {
            weights.allocate(&mut ledger, tensor).await?;
        }
        let config = &self.blueprint.config;
        let components = weights.components(config)?;
        let mut ops = Model::operations(config, &mut ledger, &components, context, self.cache_type).await?;
        let mut seen = HashSet::new();
        ops.retain(|op| seen.insert(op.pipeline()));
        Ok(ops)
    }

    /// Verifies part `index` and uploads its tensors. A part that has been pushed before is ignored; one that fails
    /// can be pushed again.
    ///
    /// # Errors
    /// [`Kind::Shard`](crate::error::Kind::Shard) when the bytes are not the part;
    /// [`Kind::Argument`](crate::error::Kind::Argument) for an index out of range;
    /// [`Kind::Tensor`](crate::error::Kind::Tensor) for values that the storage type cannot hold;
    /// [`Kind::OutOfMemory`](crate::error::Kind::OutOfMemory).
    pub async fn push(&mut self, index: usize, bytes: &[u8]) -> Result<()> {
        let count = self.blueprint.parts.len();
        ensure!(index < count, Argument, "push", "part {index}; there are {count}");
        if self.pushed[index] {
            return Ok(());
        }
        let part = &self.blueprint.parts[index];
        part.verify(bytes)?;
        for piece in &part.pieces {
            let tensor = &self.blueprint.tensors[piece.tensor];
            let stored = piece.unpack(tensor, bytes)?;
            self.weights.place(&mut self.device, tensor, piece, &stored).await?;
        }
        self.pushed[index] = true;
        self.hashes[index] = match &part.sha256 {
            Some(sha256) => hash::sha256(&[sha256.as_bytes()]),
            None => hash::sample_sha256(bytes),
        };
        Ok(())
    }

    /// Returns a hash of the weights and of what gives them their meaning: configuration, tokenizer, types on the
    /// device. Parts whose hash no manifest states are read in three places each. Must be called after all parts are pushed.
    pub fn identity(&self) -> [u8; 32] {
        let types = self.blueprint.tensors.iter().map(|t| format!("{} {}\n", t.expected.name, t.weight_type));
        let (small, types) = (&self.blueprint.small, types.collect::<String>());
        let parts = self.hashes.concat();
        let all = [&small.config[..], &small.tokenizer, types.as_bytes(), &parts];
        hash::sha256(&all.map(|bytes| hash::sha256(&[bytes])).concat().chunks(32).collect::<Vec<_>>())
    }

    /// Builds the model from the parts that were pushed, with a cache that may grow to `context` rows.
    ///
    /// # Errors
    /// [`Kind::State`](crate::error::Kind::State) when parts are missing; what [`Model::new`] reports.
    pub async fn finish(self, context: u32) -> Result<(Model, Blueprint)> {
        let missing = self.pushed.iter().filter(|p| !**p).count();
        ensure!(missing == 0, State, "finish", "{missing} of {} parts have not been pushed", self.pushed.len());
        let config = self.blueprint.config.clone();
        let parts = self.weights.components(&config)?;
        Ok((Model::new(config, self.device, parts, context, self.cache_type).await?, self.blueprint))
    }
}
