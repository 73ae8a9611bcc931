//! The guides have the same programs in both languages.

/// Each guide in English and in Chinese.
const GUIDES: [[&str; 2]; 2] = [
    [include_str!("../../../docs/guide.md"), include_str!("../../../docs/guide.zh.md")],
    [include_str!("../../../docs/ipc.md"), include_str!("../../../docs/ipc.zh.md")],
];

/// Returns the blocks of a document without comments and indentation. The first line of each is its language.
fn programs(document: &str) -> Vec<String> {
    let blocks = document.split("```").skip(1).step_by(2);
    // The programs of both guides may run at the same time, so they use different names of memory.
    blocks.map(|block| without_comments(block).replace("guide-zh-", "guide-")).collect()
}

fn without_comments(block: &str) -> String {
    let marks: &[&str] = match block.lines().next() {
        Some("python") => &["# "],
        Some("c") => &["/* "],
        Some("toml") => &[],
        _ => &["// ", "/// ", "//     "],
    };
    let lines = block.lines().map(|line| {
        let end = marks.iter().filter_map(|mark| line.find(mark)).min().unwrap_or(line.len());
        line[..end].trim()
    });
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_guide_has_the_same_programs_in_each_language() {
    for guide in GUIDES {
        let [english, chinese] = guide.map(programs);
        assert!(english.len() > 10, "too few programs were found");
        for (english, chinese) in english.iter().zip(&chinese) {
            assert_eq!(english, chinese);
        }
        assert_eq!(english.len(), chinese.len());
    }
}

#[test]
fn each_guide_has_the_same_sections_in_each_language() {
    let shape = |document: &str| -> Vec<usize> {
        let headings = document.lines().filter(|line| line.starts_with("##"));
        headings.map(|line| line.bytes().take_while(|byte| *byte == b'#').count()).collect()
    };
    for [english, chinese] in GUIDES {
        assert_eq!(shape(english), shape(chinese));
    }
}

/// Returns the part of a link that leads to this heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn links_within_a_guide_lead_to_its_headings() {
    for document in GUIDES.into_iter().flatten() {
        let headings = document.lines().filter(|line| line.starts_with("##"));
        let anchors: Vec<_> = headings.map(|line| anchor(line.trim_start_matches('#'))).collect();
        let links: Vec<_> = document.split("](#").skip(1).filter_map(|link| link.split(')').next()).collect();
        assert!(links.len() > anchors.len() / 2, "too few links were found");
        for link in links {
            assert!(anchors.iter().any(|anchor| anchor == link), "#{link} leads nowhere");
        }
    }
}
