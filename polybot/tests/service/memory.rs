//! What people send costs a bounded amount of memory.

use image::{ImageFormat, RgbImage};
use telegram_sandbox::{ChatMessage, Post, User};

use crate::harness::{Bot, PATIENCE, Setup, bot, encoded};

/// What the default machine has, 2 GB, is shared with others.
const MOST: u64 = 400 << 20;

/// Of an album. All at once they would be 600 MB; ten of them take no more than these, only longer.
const PHOTOS: usize = 4;

/// Fifty megapixels in a file of some kilobytes.
fn huge() -> Vec<u8> {
    encoded(&RgbImage::from_pixel(7071, 7071, image::Rgb([40, 90, 160])), ImageFormat::Png)
}

fn album(user: &User, photos: &[Vec<u8>], caption: &str) -> Vec<i32> {
    let posts = photos.iter().enumerate().map(|(number, bytes)| {
        Post::document(bytes.clone(), format!("{number}.png")).caption(if number == 0 { caption } else { "" })
    });
    user.post_album(posts)
}

async fn answers(bot: &Bot, count: usize) -> Vec<ChatMessage> {
    let mut answers: Vec<ChatMessage> = Vec::new();
    let enough = |event: &telegram_sandbox::Event| {
        answers.extend(event.sent().cloned());
        answers.len() >= count
    };
    bot.telegram.wait_for(enough, PATIENCE * 4).await.expect("answers");
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_photos_and_albums_of_them_stay_within_the_budget() {
    let bot = bot(Setup::default()).await;
    let huge = huge();
    assert!(huge.len() < 1 << 20, "{}", huge.len());
    let before = bot.peak_memory();
    // Two albums, and single ones, all at once.
    for number in 0..2 {
        album(&bot.telegram.user(&format!("album {number}")), &vec![huge.clone(); PHOTOS], "concat");
    }
    for caption in ["blur 5", "rotate", "edges"] {
        bot.telegram.user(caption).post_document(huge.clone(), "huge.png", Some(caption));
    }
    let answers = answers(&bot, 5).await;
    for answer in &answers {
        let file = answer.document().or_else(|| answer.photo()).unwrap_or_else(|| panic!("{}", answer.words()));
        assert!(!file.is_empty());
    }
    let peak = bot.peak_memory();
    eprintln!("peak {} MB, {} MB before", peak >> 20, before >> 20);
    assert!(peak < MOST, "{} MB", peak >> 20);
}
