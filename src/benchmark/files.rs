//! Files by name: those of a folder, or those that a page was given.

use crate::error::{Error, Kind, Result};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::{Cursor, Read};
use std::path::{Component, Path};

/// Files that a benchmark is read from.
pub trait Files: Debug {
    /// Opens a file.
    ///
    /// # Errors
    /// [`Kind::Io`], naming it.
    fn open(&self, path: &Path) -> Result<Box<dyn Read + '_>>;

    /// Returns whether there is a file or a folder.
    fn exists(&self, path: &Path) -> bool;

    /// Returns the names in a folder, sorted; `None` for what is no folder.
    fn names(&self, folder: &Path) -> Option<Vec<String>>;

    /// Reads a file.
    ///
    /// # Errors
    /// [`Kind::Io`], naming it.
    fn read(&self, path: &Path) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let io = |e: std::io::Error| Error::new(Kind::Io, path.display().to_string(), e.to_string());
        self.open(path)?.read_to_end(&mut bytes).map_err(io)?;
        Ok(bytes)
    }
}

/// Files whose names are known, and the contents of some of them. A file that is opened without its contents becomes
/// wanted; of small texts (`.txt`), those beside it, too.
#[derive(Debug, Default)]
pub struct Listing {
    contents: BTreeMap<String, Option<Vec<u8>>>,
    wanted: RefCell<Vec<String>>,
}

/// Returns the key of a path: its names, joined by slashes.
fn key(path: &Path) -> String {
    let names = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_string_lossy()),
        _ => None,
    });
    names.collect::<Vec<_>>().join("/")
}

impl Listing {
    /// Adds a file by its path, with its contents or without. An empty name is ignored.
    pub fn add(&mut self, path: &str, contents: Option<Vec<u8>>) {
        let key = key(Path::new(path));
        if !key.is_empty() {
            self.contents.insert(key, contents);
        }
    }

    /// Takes the paths of wanted files.
    pub fn take_wanted(&self) -> Vec<String> {
        self.wanted.take()
    }

    /// Returns paths and contents below a folder; all of them for the empty path.
    fn below<'a>(&'a self, folder: &Path) -> impl Iterator<Item = (&'a str, &'a Option<Vec<u8>>)> + use<'a> {
        let prefix = Some(key(folder)).filter(|key| !key.is_empty()).map_or(String::new(), |key| key + "/");
        let from = self.contents.range(prefix.clone()..);
        from.take_while(move |(path, _)| path.starts_with(&prefix)).map(|(path, contents)| (path.as_str(), contents))
    }

    fn want(&self, path: &str) {
        let mut wanted = self.wanted.borrow_mut();
        wanted.push(path.to_owned());
        let Some((folder, _)) = path.rsplit_once('/').filter(|_| path.ends_with(".txt")) else { return };
        let beside =
            |other: &str| other.rsplit_once('/').is_some_and(|(own, name)| own == folder && name.ends_with(".txt"));
        let texts = self.below(Path::new(folder)).filter(|(other, contents)| contents.is_none() && beside(other));
        wanted.extend(texts.map(|(other, _)| other.to_owned()).filter(|other| other != path));
    }
}

impl Files for Listing {
    fn open(&self, path: &Path) -> Result<Box<dyn Read + '_>> {
        let key = key(path);
        match self.contents.get(&key) {
            Some(Some(contents)) => Ok(Box::new(Cursor::new(contents))),
            Some(None) => {
                self.want(&key);
                Err(Error::new(Kind::State, key, "has not been read yet"))
            }
            None => Err(Error::new(Kind::Io, key, "does not exist")),
        }
    }

    fn exists(&self, path: &Path) -> bool {
        self.contents.contains_key(&key(path)) || self.names(path).is_some()
    }

    fn names(&self, folder: &Path) -> Option<Vec<String>> {
        let skip = Some(key(folder)).filter(|key| !key.is_empty()).map_or(0, |key| key.len() + 1);
        let names = self.below(folder).filter_map(|(path, _)| path[skip..].split('/').next());
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort();
        names.dedup();
        (!names.is_empty()).then_some(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_files_and_folders_are_those_of_the_paths() {
        let mut files = Listing::default();
        for path in ["a/b/1.txt", "a/b/2.txt", "a/b.json", "a/b/c/3.txt", "./d.tsv", "a!x"] {
            files.add(path, None);
        }
        files.add("a/b.json", Some(b"[]".to_vec()));
        files.add("", None);
        assert_eq!(files.names(Path::new("a/b")).unwrap(), ["1.txt", "2.txt", "c"]);
        assert_eq!(files.names(Path::new("")).unwrap(), ["a", "a!x", "d.tsv"]);
        assert_eq!(files.names(Path::new("a/b.json")), None);
        for (path, exists) in
            [("a/b", true), ("a/b.json", true), ("a/", true), ("d.tsv", true), ("a/b/3", false), ("b", false)]
        {
            assert_eq!(files.exists(Path::new(path)), exists, "{path}");
        }
        assert_eq!(files.read(Path::new("a/b.json")).unwrap(), b"[]");
        assert_eq!(files.read(Path::new("x")).unwrap_err().to_string(), "x: does not exist");
        assert!(files.take_wanted().is_empty());
        assert_eq!(files.read(Path::new("a/b/2.txt")).unwrap_err().kind, Kind::State);
        assert_eq!(files.take_wanted(), ["a/b/2.txt", "a/b/1.txt"], "the texts beside it, not those below");
        files.add("a/b/2.txt", Some(Vec::new()));
        assert_eq!(files.read(Path::new("a/b/2.txt")).unwrap(), b"");
    }
}
