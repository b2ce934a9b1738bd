//! STUB, replaced by the data branch.
#![allow(missing_docs)]
use crate::config::VisionConfig;
use crate::error::Result;
pub struct PreprocessConfig;
impl PreprocessConfig {
    pub fn parse(_: Option<&[u8]>, _: &VisionConfig) -> Result<Self> {
        Ok(Self)
    }
}
pub struct PixelValues {
    pub data: Vec<f32>,
    pub width: u32,
    pub height: u32,
}
pub fn preprocess(_: &[u8], _: &PreprocessConfig) -> Result<PixelValues> {
    Ok(PixelValues { data: vec![], width: 0, height: 0 })
}
