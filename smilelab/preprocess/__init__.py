"""From a video file to a face crop: decoding, face tracking, cropping, and the building of clip stores."""
