"""The readable companion: artifacts, executed notebooks and documents as pages for a browser, without a network."""

from smilelab.artifacts.site.pages import LIMIT, Site, SiteError, build

__all__ = ["LIMIT", "Site", "SiteError", "build"]
