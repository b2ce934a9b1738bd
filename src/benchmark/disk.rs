//! Files of a folder on this machine.

use crate::data::Data;
use crate::error::Result;
use crate::files::Files;
use crate::output::Output;
use llava_web::native::io_error;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The file system.
#[derive(Debug)]
struct Disk;

impl Files for Disk {
    fn open(&self, path: &Path) -> Result<Box<dyn Read + '_>> {
        Ok(Box::new(BufReader::new(std::fs::File::open(path).map_err(|e| io_error(path, &e))?)))
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn names(&self, folder: &Path) -> Option<Vec<String>> {
        let entries = std::fs::read_dir(folder).ok()?;
        let mut names: Vec<String> = entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        Some(names)
    }
}

/// Returns the part `split` of the published files in `folder`.
pub fn folder(folder: &Path, split: Option<String>) -> Data {
    Data::new(Rc::new(Disk), folder, split)
}

/// Writes the files of a run into `folder`, and returns their paths with what takes them.
///
/// # Errors
/// [`crate::error::Kind::Io`], naming the file.
pub fn write(out: &Output, folder: &Path) -> Result<Vec<(PathBuf, String)>> {
    let write = |file: &crate::output::File| {
        let path = folder.join(&file.name);
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).map_err(|e| io_error(parent, &e))?;
        std::fs::write(&path, &file.contents).map_err(|e| io_error(&path, &e))?;
        Ok((path, file.purpose.clone()))
    };
    out.files.iter().map(write).collect()
}
