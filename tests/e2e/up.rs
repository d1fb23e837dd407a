//! What runs where no command is given: for programs in another terminal, and as the bot of a small group, with a real bot's
//! token and a folder that outlives it. A Telegram sandbox of the test's own stands for the real Telegram.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use telegram_sandbox::{Sandbox, SandboxOptions};

use crate::support::{EXECUTABLE, PATIENCE, photo};

/// The running program.
struct Program {
    process: Child,
    stdout: BufReader<ChildStdout>,
    /// What it has said up to where everything ran.
    said: String,
    /// The services' processes.
    services: Vec<String>,
}

impl Program {
    fn start(telegram: &Sandbox, folder: &Path, model: &str) -> Self {
        let mut command = Command::new(EXECUTABLE);
        command
            .args(["up", "--model", model, "--max", "2", "--data-dir"])
            .arg(folder)
            .env("TELEGRAM_TOKEN", telegram.token())
            .env("TELEGRAM_API_URL", telegram.api_url());
        Self::run(command)
    }

    fn run(mut command: Command) -> Self {
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let mut stdout = BufReader::new(process.stdout.take().expect("piped"));
        let mut said = String::new();
        while !said.contains("ctrl-c") {
            if stdout.read_line(&mut said).expect("text") == 0 {
                let mut error = String::new();
                process.stderr.take().expect("piped").read_to_string(&mut error).expect("text");
                panic!("it ended: {said}{error}");
            }
        }
        let process_of = |line: &str| Some(line.split("(process ").nth(1)?.strip_suffix(')')?.to_owned());
        let services = said.lines().filter_map(process_of).collect();
        Self { process, stdout, said, services }
    }

    /// End it with this signal; answers all it said.
    fn end(mut self, signal: &str) -> String {
        let killed = Command::new("kill").args([signal, &self.process.id().to_string()]).status().expect("kill runs");
        assert!(killed.success());
        let status = self.process.wait().expect("it ends");
        assert!(signal == "-KILL" || status.success(), "{status}");
        self.stdout.read_to_string(&mut self.said).expect("text");
        self.process.stderr.take().expect("piped").read_to_string(&mut self.said).expect("text");
        std::mem::take(&mut self.said)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Where a test fails. One that has ended can't be killed.
        let _ = self.process.kill();
    }
}

/// What the program says on standard error, line by line, to whoever waits for it.
fn errors(program: &mut Program) -> tokio::sync::mpsc::UnboundedReceiver<String> {
    let (said, lines) = tokio::sync::mpsc::unbounded_channel();
    let stderr = BufReader::new(program.process.stderr.take().expect("piped"));
    std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| said.send(line)));
    lines
}

async fn said(lines: &mut tokio::sync::mpsc::UnboundedReceiver<String>, wanted: &str) -> String {
    let found = async {
        loop {
            let line = lines.recv().await.unwrap_or_else(|| panic!("it ended and did not say: {wanted}"));
            if line.contains(wanted) {
                return line;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("not said in time: {wanted}"))
}

async fn telegram() -> Sandbox {
    Sandbox::start(SandboxOptions::default()).await.expect("a Telegram sandbox")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_bot_is_served_and_its_token_is_kept_to_itself() {
    let telegram = telegram().await;
    let folder = tempfile::tempdir().expect("tempdir");
    let program = Program::start(&telegram, folder.path(), "stand-in");
    assert!(program.said.contains("the real one"), "{}", program.said);
    let user = telegram.user("Ada");
    let message_id = user.post_photo(photo("chelsea.png"), None);
    let is_answer = |message: &telegram_sandbox::ChatMessage| {
        message.chat_id == user.chat_id() && message.reply_to == Some(message_id) && message.photo().is_some()
    };
    telegram.wait_for_message(is_answer, PATIENCE).await.expect("an answer");

    let token = telegram.token();
    assert_eq!(program.services.len(), 3, "{}", program.said);
    for process in program.services.iter().cloned().chain([program.process.id().to_string()]) {
        let read = |name: &str| std::fs::read(format!("/proc/{process}/{name}")).expect("it runs");
        let has_token = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).contains(token);
        assert!(!has_token(read("cmdline")), "the token is in the arguments");
        let is_bot = String::from_utf8_lossy(&read("cmdline")).contains("polybot\0")
            && !String::from_utf8_lossy(&read("cmdline")).contains("yolo-worker");
        if process != program.process.id().to_string() {
            assert_eq!(has_token(read("environ")), is_bot, "only the bot has the token: {process}");
        }
    }
    let said = program.end("-INT");
    assert!(!said.contains(token), "the token was said: {said}");
    // Nor is it among what is kept.
    let kept =
        Command::new("grep").args(["-r", "-c", "-F", "-e", token]).arg(folder.path()).output().expect("grep runs");
    let kept = String::from_utf8_lossy(&kept.stdout).into_owned();
    assert!(kept.lines().all(|line| line.ends_with(":0")), "{kept}");
}

/// Each of the services, killed as nothing that it does itself could be: it is said, another one takes its place, and people are
/// answered as before. The end of the program is the end of those, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_dies_is_started_again() {
    let telegram = telegram().await;
    let folder = tempfile::tempdir().expect("tempdir");
    let mut program = Program::start(&telegram, folder.path(), "stand-in");
    let mut lines = errors(&mut program);
    let mut running = Vec::new();
    for service in program.services.clone() {
        let killed = Command::new("kill").args(["-KILL", &service]).status().expect("kill runs");
        assert!(killed.success());
        let ended = said(&mut lines, "ended (signal: 9 (SIGKILL))").await;
        if ended.starts_with("the worker of ") {
            assert!(ended.ends_with("the group replaces it"), "{ended}");
            continue;
        }
        let (name, _) = ended.split_once(' ').expect("its name");
        assert!(ended.contains("it is started again in 1 s."), "{ended}");
        let again = said(&mut lines, &format!("{name} runs again (process ")).await;
        running.push(
            again.split("(process ").nth(1).and_then(|rest| rest.strip_suffix(')')).expect("a process").to_owned(),
        );
    }
    assert_eq!(running.len(), 2, "polybot and metric-streamer");
    let user = telegram.user("Ada");
    let message_id = user.post_photo(photo("chelsea.png"), None);
    let is_answer = |message: &telegram_sandbox::ChatMessage| {
        message.chat_id == user.chat_id() && message.reply_to == Some(message_id) && message.photo().is_some()
    };
    telegram.wait_for_message(is_answer, PATIENCE).await.expect("an answer");
    let stopped = Command::new("kill").args(["-INT", &program.process.id().to_string()]).status().expect("kill runs");
    assert!(stopped.success() && program.process.wait().expect("it ends").success());
    for process in running {
        assert!(!Path::new("/proc").join(&process).exists(), "{process} was left behind");
    }
}

/// How many jobs the running program has, waiting or being done.
async fn jobs(program: &Program) -> usize {
    let endpoint = program.said.lines().find_map(|line| line.strip_prefix("AWS ")).expect("an address").trim();
    let client = aws_sdk_sqs::Client::new(&embedded_aws::sdk_config(endpoint).await);
    let url =
        client.get_queue_url().queue_name("polybot-jobs").send().await.expect("a queue").queue_url.expect("its URL");
    let depth = fleet::JobQueue::new(client, url).depth().await.expect("depth");
    usize::try_from(depth.visible + depth.in_flight).expect("not that many")
}

/// Killed with photos waiting and being worked on, and each is answered after the next start.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_outlives_the_program() {
    let telegram = telegram().await;
    let folder = tempfile::tempdir().expect("tempdir");
    // So slow that no job is done before all are there.
    let program = Program::start(&telegram, folder.path(), "stand-in:60000");
    let sent: Vec<_> = (0..12)
        .map(|number| {
            let user = telegram.user(&format!("Person {number}"));
            let message_id = user.post_photo(photo("chelsea.png"), None);
            (user, message_id)
        })
        .collect();
    let accepted = async {
        while jobs(&program).await < sent.len() {
            // A poll: the queue is another process's.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, accepted).await.expect("all are accepted");
    program.end("-KILL");
    let photos = telegram.events().iter().filter(|event| event.sent().is_some_and(|m| m.photo().is_some())).count();
    assert_eq!(photos, 0, "nobody was answered before");

    let program = Program::start(&telegram, folder.path(), "stand-in");
    for (user, message_id) in &sent {
        let is_answer = |message: &telegram_sandbox::ChatMessage| {
            message.chat_id == user.chat_id() && message.reply_to == Some(*message_id) && message.photo().is_some()
        };
        telegram.wait_for_message(is_answer, PATIENCE).await.expect("an answer after the restart");
    }
    program.end("-INT");
}

/// A program that finds the fleet by what this shell script exports, and by nothing else: floods it.
fn flood_from_a_shell(script: &str) {
    let flood = format!("{script}\nexec '{}' flood --rate 6 --for 1s --spacing even --json", EXECUTABLE);
    let output = Command::new("sh").args(["-c", &flood]).env_clear().output().expect("a shell runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!((&report["sent"], &report["answered"]), (&6.into(), &6.into()), "{report}");
    // The group was found, too.
    assert!(report["sightings"][0]["instances"].as_u64() >= Some(1), "{report}");
}

#[test]
fn another_terminal_is_told_by_lines_to_copy() {
    let mut command = Command::new(EXECUTABLE);
    // As in a terminal that was told of another fleet.
    command.args(["--model", "stand-in", "--max", "2"]).env("ASG_NAME", "of-another-fleet");
    let program = Program::run(command);
    let is_command = |line: &&str| line.starts_with("export ") || line.starts_with("unset ");
    let block: Vec<&str> = program.said.lines().skip_while(|line| !is_command(line)).take_while(is_command).collect();
    flood_from_a_shell(&block.join("\n"));
    for process in &program.services {
        let environ = std::fs::read(format!("/proc/{process}/environ")).expect("it runs");
        assert!(!String::from_utf8_lossy(&environ).contains("of-another-fleet"), "{process}");
    }
    program.end("-INT");
}

#[test]
fn another_terminal_is_told_by_a_file() {
    let folder = tempfile::tempdir().expect("tempdir");
    let file = folder.path().join("Ada's fleet.env");
    let up = || {
        let mut command = Command::new(EXECUTABLE);
        command
            .args(["up", "--model", "stand-in", "--max", "2", "--env", "Ada's fleet.env"])
            .current_dir(folder.path());
        command
    };
    let program = Program::run(up());
    let mode = std::fs::metadata(&file).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let source = program.said.lines().find_map(|line| line.strip_prefix("another terminal source ")).expect("told");
    flood_from_a_shell(&format!(". {source}"));
    program.end("-TERM");
    assert!(!file.exists(), "it was not removed");

    std::fs::write(&file, "export MINE=1\n").expect("written");
    let refused = up().stdin(Stdio::null()).output().expect("the program runs");
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.starts_with("error: ") && said.contains("is there already") && said.lines().count() == 1, "{said}");
    assert_eq!(std::fs::read_to_string(&file).expect("kept"), "export MINE=1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_in_use_is_told() {
    let telegram = telegram().await;
    let folder = tempfile::tempdir().expect("tempdir");
    let first = Program::start(&telegram, folder.path(), "stand-in");
    let second = Command::new(EXECUTABLE)
        .args(["--model", "stand-in", "--data-dir"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .output()
        .expect("the program runs");
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("in use by another program") && said.contains(&*folder.path().to_string_lossy()), "{said}");
    first.end("-INT");
}
