"""Image data for the lessons: real, embedded in the package, checked before it is used.

`load` gives the images of one set, `catalog` lists the sets with their sources and licenses, and
`check_images` tells whether an array is what the models expect. Nothing here waits for a network
unless the full set is asked for by name. `nouns` paints and describes any combination of its
parts, `photos` gives whole photographs, `moving` makes clips of moving clothes. The notices of the
embedded files stand in `NOTICE`.
"""

from ganvae_lessons.data import emoji, moving, nouns, photos
from ganvae_lessons.data._check import check_images
from ganvae_lessons.data._load import catalog, load

__all__ = ["catalog", "check_images", "emoji", "load", "moving", "nouns", "photos"]
