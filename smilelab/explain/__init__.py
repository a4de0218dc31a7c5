"""Explanations: what a trained model looks at and how it lays clips out."""
