//! Rooms as a table. Pure.

use plenum_api::{Room, conditions};

/// One line per Room, with the namespace in front when `everywhere`.
pub(crate) fn table(rooms: &[Room], everywhere: bool) -> String {
    let mut lines =
        vec![["NAMESPACE", "NAME", "FLOW", "REGION", "MEDIA", "READY", "REASON", "PEOPLE"].map(str::to_owned)];
    lines.extend(rooms.iter().map(columns));
    let mut widths = [0; 8];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(widths).skip(usize::from(!everywhere));
        let line: String = cells.map(|(cell, width)| format!("{cell:<width$}   ")).collect();
        text += line.trim_end();
        text.push('\n');
    }
    text
}

fn columns(room: &Room) -> [String; 8] {
    let status = room.status.as_ref();
    let ready = room.condition(conditions::READY);
    let flow = status.and_then(|status| status.flow.as_ref());
    let cells: [Option<String>; 8] = [
        room.metadata.namespace.clone(),
        room.metadata.name.clone(),
        flow.map(|flow| format!("{:?} ({:?})", flow.name, flow.basis)),
        status.and_then(|status| status.placement.as_ref()).and_then(|placement| placement.region.clone()),
        status.and_then(|status| status.media.clone()),
        ready.map(|ready| ready.status.clone()),
        ready.map(|ready| ready.reason.clone()),
        status.and_then(|status| status.participants).map(|people| people.current.to_string()),
    ];
    cells.map(|cell| cell.unwrap_or_else(|| "-".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_cell() {
        let room: Room = serde_json::from_value(serde_json::json!({
            "apiVersion": "rtc.plenum.dev/v1alpha1",
            "kind": "Room",
            "metadata": { "name": "a-long-room-name", "namespace": "demo" },
            "spec": { "topology": "MediaServer" },
            "status": { "media": "media/eu-0", "participants": { "current": 2, "peak": 3 } },
        }))
        .unwrap();
        let golden = "\
NAME               FLOW   REGION   MEDIA        READY   REASON   PEOPLE
a-long-room-name   -      -        media/eu-0   -       -        2
";
        assert_eq!(table(std::slice::from_ref(&room), false), golden);
        assert!(table(&[room], true).starts_with("NAMESPACE   NAME "));
    }
}
