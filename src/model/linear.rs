//! A matrix of the model. No other module depends on how weights are stored.

use crate::config::Activation;
use crate::device::Device;
use crate::error::Result;
use crate::kernels::embed_rows::embed_rows;
use crate::kernels::matmul::{Epilogue, matmul};
use crate::kernels::matvec::{Placeholders, RowInput, RowOutput, matvec};
use crate::kernels::{Rows, Weight};
use crate::pass::{Buf, Pass};

/// `[N, K]`, in tiles whose planes each fit a binding, with an optional bias `[N]`.
#[derive(Debug, Clone)]
pub struct Linear {
    /// Row tiles in order: one, or several where the matrix is larger than a binding.
    pub tiles: Vec<Weight>,
    /// `[N]`.
    pub bias: Option<Buf>,
    /// `N`.
    pub outputs: u32,
    /// Bound where there is no bias.
    pub unused: Buf,
}

impl Linear {
    /// Appends `out [M, N] = x [M, K] · wᵀ + bias`.
    pub fn record(&self, pass: &mut Pass, m: Rows, x: Buf, out: Buf) {
        self.record_into(pass, m, x, out, Epilogue::Store);
    }

    /// Appends `out [M, N] += x [M, K] · wᵀ + bias`.
    pub fn record_residual(&self, pass: &mut Pass, m: Rows, x: Buf, out: Buf) {
        self.record_into(pass, m, x, out, Epilogue::Add);
    }

    /// Appends `out [M, N] = f(x [M, K] · wᵀ + bias)`.
    pub fn record_activated(&self, pass: &mut Pass, m: Rows, x: Buf, out: Buf, activation: Activation) {
        self.record_into(pass, m, x, out, Epilogue::Activate(activation));
    }

    fn record_into(&self, pass: &mut Pass, m: Rows, x: Buf, out: Buf, epilogue: Epilogue) {
        for tile in &self.tiles {
            matmul(pass, m, x, *tile, self.bias, self.unused, out, self.outputs, epilogue);
        }
    }

    /// Appends `out [T, K] = rows of the matrix by id`, or rows of `image_embeds` (the splice).
    pub fn record_rows(&self, pass: &mut Pass, m: Rows, image_embeds: Buf, ids: Buf, out: Buf) {
        for tile in &self.tiles {
            embed_rows(pass, m, *tile, image_embeds, ids, out);
        }
    }

    /// Appends the product of one row as mat-vecs, on a GPU, for a matrix without bias. An output that combines columns
    /// needs a matrix of one tile.
    pub fn record_row(&self, pass: &mut Pass, input: RowInput, output: RowOutput, placeholders: Placeholders) {
        assert!(self.bias.is_none(), "a mat-vec adds the bias of heads alone");
        for tile in &self.tiles {
            matvec(pass, input, *tile, output, placeholders);
        }
    }
}

impl Placeholders {
    /// Allocates the placeholders. (Here, because kernels know no device.)
    ///
    /// # Errors
    /// Those of [`Device::buffer`].
    pub async fn new(device: &mut Device) -> Result<Self> {
        let mut buffers = Vec::new();
        for _ in 0..5 {
            buffers.push(device.buffer("placeholder", Self::WORDS).await?);
        }
        Ok(Self(std::array::from_fn(|i| buffers[i])))
    }
}

/// Returns matrices that lie below one another in the same planes as one tile; `None` where they do not.
pub fn stacked(matrices: &[&Linear]) -> Option<Weight> {
    let mut whole = matrices.first()?.tiles[0];
    for matrix in &matrices[1..] {
        let next = matrix.tiles[0];
        if matrix.tiles.len() > 1 || next.blocks != whole.blocks || next.plane_first != whole.plane_first + whole.rows {
            return None;
        }
        whole.rows += next.rows;
    }
    Some(whole)
}
