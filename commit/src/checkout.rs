//! What git has checked out, by git's own files (gitrepository-layout(5)): the program git is not needed. Not in repositories
//! that keep their branches as reftable, which nobody has unless they ask git for it.

use std::path::{Path, PathBuf};

/// A checkout, or what can be known of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Checkout {
    /// The commit, in hex; `None` outside of a repository, or in one without a commit.
    pub(crate) commit: Option<String>,
    /// The files of which one changes when another commit is checked out or made.
    pub(crate) read: Vec<PathBuf>,
}

impl Checkout {
    /// The one in this folder. A repository further up is another project's.
    pub(crate) fn of(root: &Path) -> Self {
        let mut checkout = Self::default();
        if let Some(git) = git_folder(root) {
            checkout.commit = checkout.resolve(&git).filter(|commit| is_hash(commit));
        }
        checkout
    }

    fn resolve(&mut self, git: &Path) -> Option<String> {
        let head = self.read(git.join("HEAD"))?;
        let Some(name) = head.strip_prefix("ref: ") else { return Some(head) };
        // Branches are the same for all worktrees.
        let common = std::fs::read_to_string(git.join("commondir"));
        let common = common.map_or_else(|_| git.to_owned(), |path| git.join(path.trim_end()));
        if let Some(commit) = self.read(common.join(name)) {
            return Some(commit);
        }
        // The next commit makes the file that was not there. That can't be an input; but git keeps a log of each.
        self.read(git.join("logs/HEAD"));
        let packed = self.read(common.join("packed-refs"))?;
        packed.lines().find_map(|line| Some(line.strip_suffix(name)?.strip_suffix(' ')?.to_owned()))
    }

    /// A file's text, if there is such a file.
    fn read(&mut self, path: PathBuf) -> Option<String> {
        let text = String::from_utf8_lossy(&std::fs::read(&path).ok()?).trim_end().to_owned();
        self.read.push(path);
        Some(text)
    }
}

/// `.git`, or the folder that it names in a worktree or a submodule.
fn git_folder(root: &Path) -> Option<PathBuf> {
    let git = root.join(".git");
    if git.is_dir() {
        return Some(git);
    }
    let text = std::fs::read_to_string(git).ok()?;
    Some(root.join(text.strip_prefix("gitdir: ")?.trim_end()))
}

/// SHA-1 or SHA-256.
fn is_hash(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "0123456789abcdef0123456789abcdef01234567";
    const B: &str = "89abcdef0123456789abcdef0123456789abcdef";

    /// A folder with these files.
    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("tempdir");
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        folder
    }

    fn read_of(folder: &tempfile::TempDir, files: &[&str]) -> Vec<PathBuf> {
        files.iter().map(|file| folder.path().join(file)).collect()
    }

    #[test]
    fn a_branch_is_the_loose_ref_rather_than_the_packed_one() {
        let packed =
            format!("# pack-refs with: peeled fully-peeled sorted \n{A} refs/heads/a/main\n{B} refs/heads/main\n");
        let mut files = vec![
            (".git/HEAD", "ref: refs/heads/main\n"),
            (".git/packed-refs", packed.as_str()),
            (".git/logs/HEAD", "l"),
        ];
        let folder_packed = folder(&files);
        let checkout = Checkout::of(folder_packed.path());
        assert_eq!(checkout.commit.as_deref(), Some(B));
        assert_eq!(checkout.read, read_of(&folder_packed, &[".git/HEAD", ".git/logs/HEAD", ".git/packed-refs"]));

        let loose = format!("{A}\n");
        files.push((".git/refs/heads/main", &loose));
        let folder_loose = folder(&files);
        let checkout = Checkout::of(folder_loose.path());
        assert_eq!(checkout.commit.as_deref(), Some(A));
        assert_eq!(checkout.read, read_of(&folder_loose, &[".git/HEAD", ".git/refs/heads/main"]));
    }

    #[test]
    fn a_worktree_has_its_own_head_and_the_repositorys_branches() {
        let main = format!("{A}\n");
        let folder = folder(&[
            ("main/.git/HEAD", "ref: refs/heads/other\n"),
            ("main/.git/refs/heads/main", &main),
            ("main/.git/worktrees/tree/HEAD", "ref: refs/heads/main\n"),
            ("main/.git/worktrees/tree/commondir", "../..\n"),
            ("tree/.git", "gitdir: ../main/.git/worktrees/tree\n"),
        ]);
        assert_eq!(Checkout::of(&folder.path().join("tree")).commit.as_deref(), Some(A));
        // Its branch has no commit yet.
        assert_eq!(Checkout::of(&folder.path().join("main")).commit, None);
    }

    #[test]
    fn a_detached_head_is_the_commit_itself_and_what_is_no_commit_is_none() {
        let detached = folder(&[(".git/HEAD", &format!("{A}\n"))]);
        assert_eq!(Checkout::of(detached.path()).commit.as_deref(), Some(A));
        let strange = folder(&[(".git/HEAD", "something new\n")]);
        assert_eq!(Checkout::of(strange.path()).commit, None);
        // Another project's repository, further up.
        std::fs::create_dir(detached.path().join("inner")).expect("made");
        assert_eq!(Checkout::of(&detached.path().join("inner")), Checkout::default());
    }
}
