use qrcode::{Color, EcLevel, QrCode};
use web::Result;

/// A text as a QR code (ISO/IEC 18004). Each square is one unit.
pub(super) struct Picture {
    /// The length of a side, including the quiet zone of four squares.
    pub(super) side: usize,
    /// The positions of the dark squares, from the left and from the top.
    pub(super) dark: Vec<(usize, usize)>,
}

const QUIET_ZONE: usize = 4;

impl Picture {
    pub(super) fn of(text: &str) -> Result<Self> {
        let code = QrCode::with_error_correction_level(text, EcLevel::M)?;
        let width = code.width();
        let dark = code.to_colors().into_iter().enumerate().filter(|(_, color)| *color == Color::Dark);
        let dark = dark.map(|(at, _)| (at % width + QUIET_ZONE, at / width + QUIET_ZONE)).collect();
        Ok(Self { side: width + 2 * QUIET_ZONE, dark })
    }
}
