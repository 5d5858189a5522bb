//! Brings tiles into the store as datasets.
//!
//! Invariants: the same tiles and options give the same digest, wherever they lie and however often they
//! are imported; memory does not grow with the number of tiles' pixels; an import either registers a
//! complete dataset or nothing.

pub mod description;
mod error;
mod files;
mod groups;
pub mod key;
mod npy;
mod pannuke;
mod plan;
mod prepare;
mod section;
mod simulated;
#[cfg(feature = "slide")]
mod slides;
mod source;
pub mod walk;
mod write;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use counterstain_artifact::Store;
use tokio::runtime::Handle;

pub use description::{
    Camelyon17Import, Change, Content, FolderImport, HoldOutBy, Import, LayerSource, PairedImport,
    PannukeImport, SimulatedImport, SlideImport, StripsImport,
};
pub use error::ImportError;
pub use section::read_section;
pub use write::Imported;

use plan::{plan_camelyon17, plan_folder, plan_paired, plan_pannuke, plan_strips};
use write::About;

/// How far an import is.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// `reading`, `storing`, `simulating`.
    pub phase: &'static str,
    /// Done of [`Self::total`].
    pub done: u64,
    /// All there is to do.
    pub total: u64,
    /// `files` or `tiles`.
    pub unit: &'static str,
    /// Unusable files so far.
    pub bad: u64,
}

/// What an import needs from its caller.
pub struct Context<'a> {
    /// Folder for shards on their way; must exist.
    pub spool: &'a Path,
    /// Set it to stop the import.
    pub interrupted: &'a AtomicBool,
    /// Hears of progress, several times a second.
    pub on_step: &'a (dyn Fn(Step) + Sync),
}

impl Context<'_> {
    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    fn report(&self, step: Step) {
        (self.on_step)(step);
    }
}

/// Imports a dataset under `name`. Blocks: call it from a thread that may, outside of async code.
///
/// # Errors
/// See [`ImportError`]; nothing is registered then.
pub fn import(
    name: &str,
    import: &Import,
    store: &Store,
    handle: &Handle,
    context: &Context<'_>,
) -> Result<Imported, ImportError> {
    if let Some((key, fault)) = import.faults().into_iter().next() {
        return Err(ImportError::Invalid(format!("{key} {fault}")));
    }
    let source = import.recorded();
    let (mut plan, change) = match import {
        Import::Simulated(simulated) => {
            return simulated::import_simulated(simulated, name, source, store, handle, context);
        }
        Import::Folder(folder) => (plan_folder(folder)?, folder.change.clone()),
        Import::Paired(paired) => (plan_paired(paired)?, paired.change.clone()),
        Import::Strips(strips) => (plan_strips(strips)?, strips.change.clone()),
        Import::Pannuke(pannuke) => (plan_pannuke(pannuke)?, pannuke.change.clone()),
        Import::Camelyon17(camelyon17) => (plan_camelyon17(camelyon17)?, camelyon17.change.clone()),
        #[cfg(feature = "slide")]
        Import::Slide(slide) => (plan::plan_slides(slide)?, slide.change()),
        #[cfg(not(feature = "slide"))]
        Import::Slide(_) => {
            let text = "this program was built without OpenSlide: run `cargo xtask setup --slides`, then build \
                        it with `--features counterstain-cli/slide`";
            return Err(ImportError::Invalid(text.to_owned()));
        }
    };
    plan.arrange(&change)?;
    let microns_per_pixel = change.written_microns_per_pixel().or(plan.microns_per_pixel);
    let about = About { name: name.to_owned(), microns_per_pixel, source };
    files::import_files(plan, &change, about, store, handle, context)
}

#[cfg(test)]
mod tests;
